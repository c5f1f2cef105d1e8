"""The servers: how each is started for an application, and how it is ended again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from . import procfs
from .machine import APPS, ROOT, Missing
from .peers import Venv

#: Seconds a server may take to answer its first request, and to end after SIGTERM.
START_LIMIT = 30.0
STOP_LIMIT = 10.0

NOTES = {
    "gunicorn sync": "closes the connection after every response: it has no keep-alive",
    "gunicorn gthread": "one worker with `--threads 4`",
    "uwsgi": "`--http11-socket`: a worker serves one keep-alive connection at a time, the others wait",
    "bjoern": "a C library without master, reload or timeouts; one process",
    "granian": "one worker, one blocking thread, HTTP/1 only; it has no `wsgi.file_wrapper`",
}


@dataclass(frozen=True, eq=False)
class Server:
    """One contestant.

    `command(port, module, workers, preload)` gives its argument list. `pooled`: it can run
    several workers. `preloads`: it can load the application before it forks them.
    """

    name: str
    command: object
    pooled: bool = True
    preloads: bool = False
    binary: str = ""

    @property
    def note(self) -> str:
        return NOTES.get(self.name, "")


def rgunicorn(binary: str, name: str = "rgunicorn") -> Server:
    def command(port, module, workers, preload):
        extra = ["--preload"] if preload else []
        bind = ["-b", f"127.0.0.1:{port}", "-w", str(workers)]
        return [binary, *bind, *extra, f"{module}:application"]

    return Server(name, command, preloads=True, binary=binary)


def peers(venv: Venv) -> dict:
    """Short name on the command line -> server."""
    tool = lambda name: str(venv.bin / name)  # noqa: E731 (a word for it would be longer)

    def gunicorn(*flags):
        def command(port, module, workers, preload):
            extra = [*flags, "--preload"] if preload else [*flags]
            bind = ["-b", f"127.0.0.1:{port}", "-w", str(workers)]
            return [tool("gunicorn"), *bind, *extra, f"{module}:application"]

        return command

    def granian(port, module, workers, _preload):
        listen = ["--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws"]
        pool = ["--workers", str(workers), "--blocking-threads", "1"]
        return [tool("granian"), "--interface", "wsgi", *listen, *pool, f"{module}:application"]

    def uwsgi(port, module, workers, preload):
        listen = ["--http11-socket", f"127.0.0.1:{port}", "--listen", "100"]
        pool = ["--master", "--processes", str(workers), "--die-on-term", "--need-app"]
        lazy = [] if preload else ["--lazy-apps"]
        load = ["--module", f"{module}:application", "--virtualenv", str(venv.path)]
        return [tool("uwsgi"), *listen, *pool, *lazy, "--disable-logging", *load]

    def bjoern(port, module, _workers, _preload):
        script = str(ROOT / "benches" / "harness" / "run_bjoern.py")
        return [venv.python, script, str(port), module]

    return {
        "gunicorn": Server("gunicorn sync", gunicorn("-k", "sync"), preloads=True),
        "gthread": Server("gunicorn gthread", gunicorn("-k", "gthread", "--threads", "4"), preloads=True),
        "granian": Server("granian", granian),
        "uwsgi": Server("uwsgi", uwsgi, preloads=True),
        "bjoern": Server("bjoern", bjoern, pooled=False),
    }


#: The distribution each short name needs in the environment.
DISTRIBUTION = {
    "gunicorn": "gunicorn",
    "gthread": "gunicorn",
    "granian": "granian",
    "uwsgi": "uwsgi",
    "bjoern": "bjoern",
}


class Running:
    """A started server; leaving the `with` block ends it and everything it started."""

    def __init__(self, server, module, environment, workers=1, preload=False):
        self.server = server
        self.port = free_port()
        self._log = tempfile.TemporaryFile()
        command = server.command(self.port, module, workers, preload)
        settings = {**environment, "PYTHONPATH": str(APPS)}
        self.started = time.perf_counter()
        try:
            self.process = subprocess.Popen(
                command,
                cwd=APPS,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                # Ctrl-C at the terminal is for this script, which then ends its servers in order.
                start_new_session=True,
            )
        except OSError as error:
            raise Missing(f"{server.name} cannot be started: {error}") from None

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_answer(self, limit: float = START_LIMIT, pause: float = 0.01) -> float:
        """Seconds from exec to the first byte of an answer to `GET /`."""
        deadline = self.started + limit
        while time.perf_counter() < deadline:
            if answers(self.port, deadline - time.perf_counter()):
                return time.perf_counter() - self.started
            if self.process.poll() is not None:
                raise Missing(
                    f"{self.server.name} ended with status {self.process.returncode} "
                    f"before its first answer:\n{self.log()}"
                )
            time.sleep(pause)
        raise Missing(f"{self.server.name} gave no answer within {limit:.0f} s:\n{self.log()}")

    def log(self) -> str:
        """The end of what the server printed."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 2000))
        return self._log.read().decode("utf-8", "replace").strip()

    def stop(self, limit: float = STOP_LIMIT) -> None:
        """SIGTERM to the main process; what is left of its session after the limit gets SIGKILL."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(limit)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # Workers whose master died. The kernel keeps a session's number free while it has members.
        for pid in procfs.session(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int, limit: float) -> bool:
    """True if a `GET /` is answered with a status line."""
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=max(limit, 0.01)) as client:
            client.sendall(request)
            return client.recv(4096).startswith(b"HTTP/1.")
    except OSError:
        return False
