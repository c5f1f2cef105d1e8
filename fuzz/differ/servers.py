"""The servers under comparison: started, found, and ended by their process ids."""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Settings both servers are run with. What one run cannot reach, another does.
PROFILES = {
    # As it comes: loopback is a trusted proxy.
    "default": [],
    # Limits that are met, a peer that is not trusted, names that are mapped whatever they are.
    "tight": [
        "--limit-request-line", "100",
        "--limit-request-fields", "8",
        "--limit-request-field_size", "60",
        "--forwarded-allow-ips", "192.0.2.1",
        "--header-map", "dangerous",
    ],
    # Over a unix socket, where the Host header is the server's name.
    "unix": ["--header-map", "refuse"],
    # Behind a load balancer that says who its clients are.
    "proxy": ["--proxy-protocol", "auto"],
    # All that can be accepted against the grammar.
    "lenient": [
        "--permit-obsolete-folding",
        "--strip-header-spaces",
        "--permit-unconventional-http-method",
        "--permit-unconventional-http-version",
        "--casefold-http-method",
        "--limit-request-field_size", "300",
    ],
}  # fmt: skip

# What the caller's environment must not decide.
SCRUBBED = (
    "GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SENDFILE", "SCRIPT_NAME", "PORT",
    "LISTEN_PID", "LISTEN_FDS", "GUNICORN_FD", "GUNICORN_PID", "PYTHONPATH", "PYTHONHOME",
)  # fmt: skip

STARTING = 30.0  # seconds a server may take until it listens
STOPPING = 5.0  # seconds it may take to end


class Server:
    """One running server. Use it as a context manager: at the end its processes are gone."""

    def __init__(self, name, command, profile, venv):
        self.name = name
        self._dir = tempfile.TemporaryDirectory(prefix=f"differ-{name}-")
        self._log = Path(self._dir.name, "log")
        if profile == "unix":
            self.address = str(Path(self._dir.name, "socket"))
            bind = f"unix:{self.address}"
        else:
            self.address = None
            bind = "127.0.0.1:0"
        environment = {key: value for key, value in os.environ.items() if key not in SCRUBBED}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        # Python programs have one already and do not look at it.
        environment["VIRTUAL_ENV"] = str(venv) if Path(venv, "pyvenv.cfg").exists() else ""
        arguments = ["-b", bind, "-w", "1", "--keep-alive", "5", "--chdir", str(HERE), "app:app"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *PROFILES[profile], *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._dir.name,
                # A group of its own, so that workers that outlive it can be ended by number.
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait(self):
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline:
            found = re.search(r"Listening at: \S+?(?::(\d+))? \(\d+\)", self.log())
            if found:
                if self.address is None:
                    self.address = ("127.0.0.1", int(found[1]))
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise SystemExit(f"{self.name} does not listen. Its log says:\n{self.log()}")

    def log(self):
        return self._log.read_text(errors="replace")

    def complaint(self):
        """A sentence if it is not well, with the log's last lines, else None."""
        log = self.log()
        if self._process.poll() is not None:
            what = f"{self.name} has ended with status {self._process.returncode}"
        elif "panicked" in log or "WORKER TIMEOUT" in log or log.count("Booting worker") > 1:
            what = f"{self.name} lost a worker"
        else:
            return None
        return "\n".join([what + "; its log ends with:", *log.splitlines()[-30:]])

    def stop(self):
        group = self._process.pid
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._dir.cleanup()


def pair(rgunicorn, gunicorn, profile):
    """Starts both servers with the settings of a profile: (rgunicorn, gunicorn)."""
    rgunicorn, gunicorn = Path(rgunicorn).absolute(), Path(gunicorn).absolute()
    venv = gunicorn.parent.parent
    theirs = [str(gunicorn), "-k", "gthread", "--threads", "8", "--no-control-socket"]
    first = Server("rgunicorn", [str(rgunicorn)], profile, venv)
    try:
        return first, Server("gunicorn", theirs, profile, venv)
    except BaseException:
        first.stop()
        raise
