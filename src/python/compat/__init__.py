"""The package `gunicorn` as it is inside rgunicorn's processes.

Its version is that of the gunicorn whose behaviour this server has: other packages compare it.
What the server calls itself is its own.
"""

import sys
import types

from gunicorn import _native, _submodules

version_info = (27, 0, 1)
__version__ = ".".join(str(part) for part in version_info)
SERVER = _native.SERVER
SERVER_SOFTWARE = _native.SERVER_SOFTWARE


class Identity(types.ModuleType):
    """A module whose SERVER and SERVER_SOFTWARE tell the server when they are assigned."""

    def __setattr__(self, name, value):
        if name == "SERVER":
            _native.set_server(value)
        elif name == "SERVER_SOFTWARE":
            _native.set_server_software(value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = Identity
