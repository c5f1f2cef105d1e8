"""The machine: tools that must be there, which core does what, and what to say about it in a report."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "benches" / "apps"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


class Missing(Exception):
    """Something the benchmark needs is absent; the text says what to do."""


def require(tool: str, package: str) -> str:
    """The path of a tool, or a sentence that names the Debian package that brings it."""
    path = shutil.which(tool)
    if path is None:
        raise Missing(f"`{tool}` is not in PATH: install it (Debian: apt-get install {package})")
    return path


@dataclass(frozen=True)
class Cores:
    """One core for the server, the others for the load."""

    server: int
    load: frozenset
    all: frozenset

    @classmethod
    def choose(cls) -> "Cores":
        available = sorted(os.sched_getaffinity(0))
        if len(available) < 2:
            raise Missing("server and load need a core each: this process may use only one")
        # Interrupts tend to land on the first core, so the server gets the last.
        return cls(available[-1], frozenset(available[:-1]), frozenset(available))

    @contextmanager
    def children_on(self, cores):
        """Processes started inside the block inherit these cores: no preexec_fn, no taskset."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def load_average() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def describe() -> str:
    count = os.cpu_count()
    return f"{cpu_model()}, {count} cores, {memory_gib():.0f} GiB, Linux {platform.release()}"


def output_of(command, **options) -> str:
    """Standard output and error of a short command, as text."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **options
    )
    return done.stdout.strip()
