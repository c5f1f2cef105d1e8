"""The master, as hooks see it: an object that tells what it does, and through which it can be asked.

The master itself is not written in Python.
"""

import os
import signal
import socket
import sys
import time

from gunicorn import _native
from gunicorn.sock import TCP6Socket, TCPSocket, UnixSocket

# What gunicorn's class has and a master that is not written in Python cannot have, with what to do
# instead.
_INSTEAD = {
    "halt": "send it SIGTERM: os.kill(server.pid, signal.SIGTERM)",
    "stop": "send it SIGTERM, or SIGQUIT for a quick stop: os.kill(server.pid, signal.SIGTERM)",
    "reload": "send it SIGHUP: os.kill(server.pid, signal.SIGHUP)",
    "reexec": "send it SIGUSR2: os.kill(server.pid, signal.SIGUSR2)",
    "start": "start it with the command rgunicorn",
    "spawn_worker": "set server.num_workers",
    "spawn_workers": "set server.num_workers",
    "manage_workers": "set server.num_workers",
}


class Arbiter:
    """The `server` of hooks. There is one, which the server makes itself."""

    # Exit statuses of workers that cannot work.
    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    # How the server was started.
    START_CTX = {}
    # The listening sockets.
    LISTENERS = []
    # The workers by process id.
    WORKERS = {}

    SIGNALS = [
        getattr(signal, "SIG" + name)
        for name in "HUP QUIT INT TERM TTIN TTOU USR1 USR2 WINCH".split()
    ]
    SIG_NAMES = {
        getattr(signal, name): name[3:].lower()
        for name in dir(signal)
        if name.startswith("SIG") and name[3] != "_"
    }

    def __init__(self, app):
        self._program = _native.program()
        self.app = app

    def run(self):
        """Run the server for the application until it is stopped, and end the program."""
        sys.exit(self._program.run(self.app))

    @classmethod
    def _make(cls, native, app):
        self = cls.__new__(cls)
        self._native = native
        self.SIG_QUEUE = _SignalQueue()
        self.app = app
        return self

    def _configure(self, cfg, log, worker_class, num_workers, nworkers_changed):
        """This configuration is in force from now on."""
        self.cfg = self.app.cfg = cfg
        self.log = self.app.logger = log
        self.address = cfg.address
        self.worker_class = worker_class
        self.timeout = cfg.timeout
        self.proc_name = cfg.proc_name
        self._num_workers = num_workers
        self._nworkers_changed = nworkers_changed
        if "pid" in vars(self):
            self.pidfile = _pid_file(cfg)
            self._relate(self.master_pid, self.reexec_pid)

    def _start(self, systemd):
        """The pid file is written."""
        self.pid = os.getpid()
        self.worker_age = 0
        self.reexec_pid = 0
        self.master_pid = 0
        self.master_name = "Master"
        self.dirty_arbiter_pid = 0
        self.systemd = systemd
        self.pidfile = _pid_file(self.cfg)
        self._stats = {
            "start_time": time.time(),
            "workers_spawned": 0,
            "workers_killed": 0,
            "reloads": 0,
        }
        Arbiter.START_CTX.update(
            {0: sys.executable, "args": [sys.executable] + sys.argv, "cwd": os.getcwd()}
        )

    def _relate(self, master_pid, reexec_pid):
        """These are the other masters: the one before this, and the one that this has started."""
        if "pid" not in vars(self):
            # `_start` is yet to come.
            return
        self.master_pid = master_pid
        self.reexec_pid = reexec_pid
        self.master_name = "Master.2" if master_pid else "Master"
        second = ".2" if master_pid else ""
        self.proc_name = self.cfg.proc_name + second
        if self.pidfile is not None:
            self.pidfile.fname = self.cfg.pidfile + second

    def _remember(self):
        """What a master that goes on with the work of this one is to know of the past."""
        return " ".join(str(value) for value in self._stats.values())

    def _recall(self, text):
        """What the one before this in the process has remembered."""
        for name, value in zip(self._stats, text.split()):
            self._stats[name] = type(self._stats[name])(value)

    def _listen(self, sockets):
        """These are the listening sockets from now on."""
        for listener in self.LISTENERS:
            listener.close()
        self.LISTENERS[:] = sockets

    def _new_worker(self, age, native):
        """The object of a worker that is about to be forked."""
        self.worker_age = age
        worker = self.worker_class(
            age, self.pid, list(self.LISTENERS), self.app, self.timeout / 2.0, self.cfg, self.log
        )
        worker._native = native
        worker.tmp._native = native
        return worker

    def _forked(self, worker, pid):
        worker.pid = pid
        self.WORKERS[pid] = worker
        self._stats["workers_spawned"] += 1

    def _gone(self, worker):
        if self.WORKERS.pop(worker.pid, None) is not None:
            self._stats["workers_killed"] += 1
        worker.tmp.close()

    def _count_reload(self):
        self._stats["reloads"] += 1

    @property
    def num_workers(self):
        """How many workers there are to be. May be set by a hook or a thread that it has started."""
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError("num_workers is a number of workers, not %r" % (value,))
        before, self._num_workers = self._num_workers, value
        if self._nworkers_changed is not None:
            self._nworkers_changed(self, value, before)
        self._native.resize(value)

    def wakeup(self):
        """Have the master look for what is due. It wakes up by itself when something is."""
        self._native.wake()

    def kill_worker(self, pid, sig):
        """Send a worker a signal."""
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            # It has ended; the master is about to notice.
            pass

    def kill_workers(self, sig):
        """Send all workers a signal."""
        for pid in list(self.WORKERS):
            self.kill_worker(pid, sig)

    def __getattr__(self, name):
        if name in _INSTEAD:
            raise AttributeError(
                "rgunicorn's master has no method %r: %s" % (name, _INSTEAD[name])
            )
        raise AttributeError("'Arbiter' object has no attribute %r" % name)


def listening_socket(fd, text, cfg, log):
    """The object for one of the server's listening sockets, of which it duplicates the descriptor
    when somebody asks for it."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        family, address = sock.family, sock.getsockname()
    kinds = {socket.AF_UNIX: UnixSocket, socket.AF_INET6: TCP6Socket}
    base = kinds.get(family, TCPSocket)

    class Listening(base):
        def __init__(self):
            self.cfg_addr, self.conf, self.log = address, cfg, log

        def __str__(self):
            return text

        def __getattr__(self, name):
            if name == "sock":
                self.sock = socket.socket(fileno=os.dup(fd))
                return self.sock
            return super().__getattr__(name)

        def close(self):
            sock, self.sock = vars(self).get("sock"), None
            if sock is not None:
                sock.close()

    Listening.__name__ = Listening.__qualname__ = base.__name__
    return Listening()


class _SignalQueue:
    """What is put in here the master handles as if it were sent the signal."""

    def put(self, sig):
        os.kill(os.getpid(), sig)

    put_nowait = put


def _pid_file(cfg):
    """The pid file, if there is one."""
    if not cfg.pidfile:
        return None
    from gunicorn.pidfile import Pidfile

    pidfile = Pidfile(cfg.pidfile)
    pidfile.pid = os.getpid()
    return pidfile
