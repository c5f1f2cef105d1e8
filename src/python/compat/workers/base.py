"""A worker, as hooks see it: in the master and, after the fork, in the worker itself."""

import random
import signal
import sys

from gunicorn import _native
from gunicorn.workers.workertmp import WorkerTmp

# What gunicorn's workers have and ours cannot: they are not written in Python.
_INSTEAD = {
    "handle_exit": "set worker.alive = False, or send it SIGTERM",
    "handle_quit": "send it SIGQUIT",
    "handle_abort": "send it SIGABRT",
    "handle_usr1": "send it SIGUSR1",
    "run": "the server runs it",
    "init_process": "the server runs it; there are the hooks post_fork and post_worker_init",
    "handle": "there are the hooks pre_request and post_request",
    "handle_request": "there are the hooks pre_request and post_request",
    "tpool": "its threads take requests by themselves",
    "keepalived_conns": "its connections are not Python objects",
    "nr_conns": "its connections are not Python objects",
}


class Worker:
    """The `worker` of hooks. The object is made in the master and survives the fork, with whatever
    attributes hooks have given it."""

    SIGNALS = [
        getattr(signal, "SIG" + name) for name in "ABRT HUP QUIT INT TERM USR1 USR2 WINCH CHLD".split()
    ]

    PIPE = []

    def __init__(self, age, ppid, sockets, app, timeout, cfg, log):
        self._native = _native.NO_WORKER
        self._alive = True
        self.age = age
        self.pid = "[booting]"
        self.ppid = ppid
        self.sockets = sockets
        self.app = app
        self.timeout = timeout
        self.cfg = cfg
        self._booted = False
        self.aborted = False
        self.reloader = None
        # Looked at when the worker begins to serve.
        self.max_requests = sys.maxsize
        if cfg.max_requests > 0:
            jitter = random.randint(0, cfg.max_requests_jitter)
            self.max_requests = cfg.max_requests + jitter
        self.log = log
        self.tmp = WorkerTmp(cfg)

    def __str__(self):
        return "<Worker %s>" % self.pid

    @property
    def nr(self):
        """How many requests it has taken, those that are still in a pre_request hook left out."""
        return self._native.requests()

    @property
    def alive(self):
        """Whether it goes on. Setting it to False, in the worker, lets it finish and go."""
        return self._alive and self._native.stays()

    @alive.setter
    def alive(self, value):
        self._alive = bool(value)
        if not value:
            self._native.retire()

    @property
    def booted(self):
        """Whether it has come as far as to serve."""
        return self._booted or self._native.has_served()

    @booted.setter
    def booted(self, value):
        self._booted = bool(value)

    def notify(self):
        """Tell the master that the request in progress makes progress: `timeout` begins anew."""
        self._native.notify()

    def load_wsgi(self):
        """Set `wsgi` to the application. The server has done so when it calls post_worker_init."""
        self.wsgi = self.app.wsgi()

    def __getattr__(self, name):
        if name in _INSTEAD:
            raise AttributeError("rgunicorn's workers have no %r: %s" % (name, _INSTEAD[name]))
        raise AttributeError("%r object has no attribute %r" % (type(self).__name__, name))
