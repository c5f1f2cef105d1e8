"""The package `setproctitle` in the server's processes.

It writes a title over the arguments, which it finds by their text, and does nothing if that is not there any
more. The server has written a title there before; so here its functions are the server's.
"""

import functools
from importlib.machinery import PathFinder

from gunicorn import _native


def find(name, path=None):
    """Its spec, as Python's own finder has it but for the loader."""
    spec = PathFinder.find_spec(name, path)
    if spec is not None and hasattr(spec.loader, "exec_module"):
        spec.loader = _Loader(spec.loader)
    return spec


class _Loader:
    """Loads what another loader does, and adopts it."""

    def __init__(self, own):
        self._own = own

    def create_module(self, spec):
        return self._own.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._own
        self._own.exec_module(module)
        adopt(module)


def adopt(module):
    """Puts functions into the module that do what its own ones cannot where the server shows titles."""
    own_set, own_get = module.setproctitle, module.getproctitle

    @functools.wraps(own_set)
    def setproctitle(title):
        if not _native.has_titles():
            return own_set(title)
        _native.set_title(title)
        # Before version 1.2 there is none.
        if hasattr(module, "setthreadtitle"):
            module.setthreadtitle(title)

    @functools.wraps(own_get)
    def getproctitle():
        if not _native.has_titles():
            return own_get()
        with open("/proc/self/cmdline", "rb") as shown:
            return shown.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")

    module.setproctitle, module.getproctitle = setproctitle, getproctitle
