"""Modules of the standard library that can be used without an import of their own.

gunicorn has imported them, and there are applications that rely on it: they import `urllib` and use
`urllib.parse`. Here each of them is imported when it is asked for.
"""

import importlib

_NAMES = {
    "concurrent": ["futures"],
    "email": [
        "base64mime",
        "charset",
        "encoders",
        "errors",
        "header",
        "iterators",
        "message",
        "quoprimime",
        "utils",
    ],
    "importlib": ["abc", "metadata", "resources"],
    "logging": ["config", "handlers"],
    "urllib": ["parse"],
}


def lend(package):
    """Has a package import what gunicorn has imported of it."""
    if "__getattr__" in vars(package):
        return
    name = package.__name__

    def submodule(attribute):
        if attribute in _NAMES[name]:
            return importlib.import_module("%s.%s" % (name, attribute))
        raise AttributeError("module %r has no attribute %r" % (name, attribute))

    package.__getattr__ = submodule


# `logging` is larger than these: whoever imports it, lends.
for _name in ("concurrent", "email", "importlib", "urllib"):
    lend(importlib.import_module(_name))
