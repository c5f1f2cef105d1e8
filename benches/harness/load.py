"""One measurement: load by wrk from its own core, CPU of the server from /proc."""

from __future__ import annotations

import http.client
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import procfs
from .machine import Cores, Missing, require
from .profiles import Profile
from .servers import Running

POST_SCRIPT = str(Path(__file__).with_name("post.lua"))
#: Requests before anything is counted: threads exist, caches are warm, adaptive bytecode is in.
WARM_UP_SECONDS = 1


@dataclass(frozen=True)
class Sample:
    """One run of one profile against one server."""

    requests: int
    seconds: float
    cpu_ns: int
    errors: int

    def __add__(self, more: "Sample") -> "Sample":
        return Sample(
            self.requests + more.requests,
            self.seconds + more.seconds,
            self.cpu_ns + more.cpu_ns,
            self.errors + more.errors,
        )

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Server CPU per completed request in microseconds."""
        return self.cpu_ns / self.requests / 1000


def prepare(running: Running, profile: Profile, cores: Cores) -> None:
    """Waits for the server, checks its answer and warms it up."""
    running.wait_answer()
    check(running, profile)
    wrk(running.port, profile, WARM_UP_SECONDS, cores)


def measure(running: Running, profile: Profile, seconds: int, cores: Cores) -> Sample:
    """One counted run of `seconds`."""
    before = procfs.Cpu.of(running.pid)
    requests, elapsed, errors = wrk(running.port, profile, seconds, cores)
    spent = procfs.Cpu.of(running.pid).since(before)
    if requests == 0:
        raise Missing(
            f"{running.server.name} completed no request of profile {profile.key}:\n{running.log()}"
        )
    return Sample(requests, elapsed, spent, errors)


def check(running: Running, profile: Profile) -> None:
    """One request by hand: a server that answers nonsense quickly must not look good."""
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    try:
        if profile.body:
            client.request("POST", "/", body=b"x" * profile.body, headers=profile.headers)
        else:
            client.request("GET", "/", headers=profile.headers)
        answer = client.getresponse()
        size = len(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Missing(f"no proper answer: {error or type(error).__name__}\n{running.log()}") from None
    finally:
        client.close()
    if answer.status != 200 or (profile.answer and size != profile.answer):
        raise Missing(f"answers {answer.status} with {size} bytes\n{running.log()}")


def wrk(port: int, profile: Profile, seconds: int, cores: Cores):
    """Runs wrk once: (completed requests, seconds, failed requests)."""
    command = [require("wrk", "wrk"), "-t1", f"-c{profile.connections}", f"-d{seconds}s"]
    # Longer than any run: a slow answer is not an error of the server.
    command += ["--timeout", f"{seconds + 30}s"]
    for name, value in profile.headers.items():
        command += ["-H", f"{name}: {value}"]
    if profile.body:
        command += ["-s", POST_SCRIPT]
    command.append(f"http://127.0.0.1:{port}/")
    if profile.body:
        command += ["--", str(profile.body)]
    with cores.children_on(cores.load):
        client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text, _ = client.communicate(timeout=seconds + 60)
    finally:
        if client.poll() is None:
            client.kill()
            client.wait()
    return parse(text)


def parse(text: str):
    """The summary wrk prints."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", text)
    if total is None:
        raise Missing(f"wrk printed no summary:\n{text.strip()}")
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[total[3]]
    errors = 0
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    if sockets:
        errors += sum(int(count) for count in sockets.groups())
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if statuses:
        errors += int(statuses[1])
    return int(total[1]), float(total[2]) * unit, errors
