"""The virtual environment with the servers we compare with, pinned so that runs can be repeated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .machine import ROOT, TARGET, Missing, output_of

#: distribution -> version. The frameworks are what every server serves.
PINS = {
    "gunicorn": "27.0.1",
    "granian": "2.8.7",
    "uwsgi": "2.0.31",
    "bjoern": "3.2.2",
    "Flask": "3.1.3",
    "Werkzeug": "3.1.9",
    "Jinja2": "3.1.6",
    "Django": "5.2.19",
}
ALWAYS = ("gunicorn", "Flask", "Werkzeug", "Jinja2", "Django")
HEADERS_OF_LIBEV = ("/usr/include/ev.h", "/usr/local/include/ev.h", "/usr/include/libev/ev.h")


class Venv:
    """`target/bench-venv`, made from the Python that runs this script."""

    def __init__(self, path: Path = TARGET / "bench-venv") -> None:
        self.path = path
        self.bin = path / "bin"
        self.python = str(self.bin / "python")

    def prepare(self, wanted) -> None:
        """Installs the frameworks and those of the `wanted` servers that are distributions."""
        if not Path(self.python).exists():
            say(f"making {self.path.name} with Python {sys.version.split()[0]}")
            run([base_python(), "-m", "venv", "--clear", str(self.path)])
        present = self.versions()
        for name in [*ALWAYS, *(name for name in PINS if name in wanted and name not in ALWAYS)]:
            if present.get(name.lower()) == PINS[name]:
                continue
            if name == "bjoern" and not any(Path(header).exists() for header in HEADERS_OF_LIBEV):
                raise Missing(
                    "bjoern needs the headers of libev: install them (Debian: apt-get install "
                    "libev-dev), or leave it out with --servers"
                )
            say(f"installing {name} {PINS[name]}")
            run([self.python, "-m", "pip", "install", "--quiet", f"{name}=={PINS[name]}"])

    def versions(self) -> dict:
        """Installed distributions, lower-case name -> version."""
        listed = output_of([self.python, "-m", "pip", "--disable-pip-version-check", "freeze"])
        pairs = (line.split("==", 1) for line in listed.splitlines() if "==" in line)
        return {name.strip().lower(): version.strip() for name, version in pairs}

    def environment(self) -> dict:
        """What every server is started with: nothing of the caller's Python settings leaks in."""
        kept = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
        return {
            **kept,
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "VIRTUAL_ENV": str(self.path),
        }


def base_python() -> str:
    """The interpreter behind a virtual environment this script may itself run in."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def build_release() -> Path:
    """Builds the release binary against the Python that all the peers run on."""
    say("building rgunicorn (release)")
    environment = dict(os.environ)
    environment.setdefault("PYO3_PYTHON", base_python())
    run(["cargo", "build", "--release", "--bin", "rgunicorn"], cwd=ROOT, env=environment)
    return TARGET / "release" / "rgunicorn"


def run(command, **options) -> None:
    try:
        subprocess.run(command, check=True, **options)
    except FileNotFoundError:
        raise Missing(f"`{command[0]}` is not in PATH") from None
    except subprocess.CalledProcessError as failed:
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        raise Missing(f"`{shown}` failed with status {failed.returncode}") from None


def say(text: str) -> None:
    """Progress goes to standard error: standard output is the report."""
    print(text, file=sys.stderr, flush=True)
