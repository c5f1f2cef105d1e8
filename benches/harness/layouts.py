"""The contestants of dispatch.py: each server with the same number of Python slots in other layouts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .loops import closed_loop
from .machine import Missing
from .peers import Venv
from .servers import Running, Server

#: Longer than any run: a server that closes idle connections must not look like one that loses them.
KEEP_ALIVE = "600"
#: No limit of connections per worker may decide.
CONNECTIONS = "20000"
#: Seconds to wait until all workers of a server have answered.
ALL_UP_LIMIT = 10.0

#: Short name -> (name in the report, distribution or None, layouts it can have).
KNOWN = {
    "sync": ("gunicorn sync", "gunicorn", "processes"),
    "gthread": ("gunicorn gthread", "gunicorn", "all"),
    "granian": ("granian", "granian", "all"),
    "uwsgi": ("uwsgi --http", "uwsgi", "all"),
    "uwsgi11": ("uwsgi --http11-socket", "uwsgi", "processes"),
    "rgunicorn": ("rgunicorn", None, "all"),
}
OURS = KNOWN["rgunicorn"][0]

NOTES = {
    "gunicorn sync": "no keep-alive: every request has a new connection, which any idle worker may accept",
    "uwsgi --http": "a router process in front of the workers; it gives each request to any of them",
    "uwsgi --http11-socket": "a worker serves one kept connection until it ends. Requests on the others are "
    "lost, and the pool goes on with those few that are served",
}


@dataclass(frozen=True)
class Layout:
    """One server with `workers` processes of `threads` Python slots each."""

    key: str
    workers: int
    threads: int
    server: Server

    @property
    def kind(self) -> str:
        return KNOWN[self.key][0]

    @property
    def name(self) -> str:
        return self.server.name


def shapes(slots: int) -> list:
    """(workers, threads): all slots in processes of one, in processes of two, in one process."""
    found = [(slots, 1)]
    if slots % 2 == 0:
        found.append((slots // 2, 2))
    return found + [(1, slots)] if (1, slots) not in found else found


def layouts(keys, wanted, venv: Venv, binary: str) -> list:
    """All chosen servers in the `wanted` shapes they can have."""
    found = []
    for key in keys:
        label, _, can = KNOWN[key]
        for workers, threads in wanted:
            if threads > 1 and can == "processes":
                continue
            command = _command(key, workers, threads, venv, binary)
            ours = binary if key == "rgunicorn" else ""
            server = Server(f"{label} {workers}x{threads}", command, binary=ours)
            found.append(Layout(key, workers, threads, server))
    return found


def _command(key: str, workers: int, threads: int, venv: Venv, binary: str):
    """What Server.command has to be; number of workers and preload are the layout's business."""

    def gunicorn(program, *flags):
        pool = ["-w", str(workers), *flags, "--worker-connections", CONNECTIONS]
        return [program, *pool, "--keep-alive", KEEP_ALIVE, "--timeout", "0"]

    def uwsgi(flag, port):
        queue = ["--listen", str(min(1024, somaxconn()))]
        pool = ["--master", "--processes", str(workers), "--die-on-term", "--need-app", "--lazy-apps"]
        pool += ["--threads", str(threads)] if threads > 1 else []
        home = ["--virtualenv", str(venv.path), "--disable-logging"]
        keep = ["--http-keepalive"] if flag == "--http" else []
        return [str(venv.bin / "uwsgi"), flag, f"127.0.0.1:{port}", *keep, *queue, *pool, *home, "--module"]

    def command(port, module, _workers, _preload):
        bind = ["-b", f"127.0.0.1:{port}"]
        if key == "rgunicorn":
            start = gunicorn(binary, "--threads", str(threads)) + bind
        elif key == "sync":
            start = gunicorn(str(venv.bin / "gunicorn"), "-k", "sync") + bind
        elif key == "gthread":
            start = gunicorn(str(venv.bin / "gunicorn"), "-k", "gthread", "--threads", str(threads)) + bind
        elif key == "granian":
            listen = ["--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws"]
            pool = ["--workers", str(workers), "--blocking-threads", str(threads)]
            start = [str(venv.bin / "granian"), "--interface", "wsgi", *listen, *pool]
        else:
            start = uwsgi({"uwsgi": "--http", "uwsgi11": "--http11-socket"}[key], port)
        return [*start, f"{module}:application"]

    return command


def somaxconn() -> int:
    return int(Path("/proc/sys/net/core/somaxconn").read_text())


def wait_ready(running: Running, layout: Layout) -> None:
    """Until every worker has answered; a server whose workers cannot be made to all answer runs as it is.

    Raises Missing with a short text if the server does not start.
    """
    try:
        running.wait_answer()
    except Missing:
        if running.process.poll() is None:
            raise Missing("gives no answer") from None
        raise Missing(f"not supported: {reason(running.log())}") from None
    deadline = time.monotonic() + ALL_UP_LIMIT
    while time.monotonic() < deadline:
        seen = closed_loop(running.port, 8 * layout.workers * layout.threads, 0.0, 0.3, drain=0.5)
        if len(seen.workers) >= layout.workers:
            return


def reason(log: str) -> str:
    """Why the server ended, from its log: the start of the last line that speaks of an error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["no message"]
    telling = [line for line in lines if "error" in line.lower()]
    text = (telling or lines)[-1].removeprefix("Error: ").partition(";")[0]
    return text[:120].replace("|", "\\|")
