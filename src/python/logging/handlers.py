"""Handlers of the standard library's `logging` that write to the server's own logs.

They are on `gunicorn.error` and `gunicorn.access` as soon as anything imports `logging`, so that applications
find there what they find under gunicorn. `record`, `write` and `fileno` are the server's.
"""

import logging
import sys

ERROR, ACCESS = "gunicorn.error", "gunicorn.access"
_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"

# The attribute of records that the server writes by itself.
_WRITTEN = "_rgunicorn_has_it"

# The message alone, with the traceback that belongs to it: the server adds the rest.
_MESSAGE = logging.Formatter("%(message)s")


class Stream:
    """What a handler's `stream` is: a file to write to, which is the server's log."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, log):
        self.name = log

    def write(self, text):
        write(self.name, text)
        return len(text)

    def flush(self):
        """Nothing is held back."""

    def fileno(self):
        return fileno(self.name)

    def isatty(self):
        return False


class Handler(logging.StreamHandler):
    """Writes records to one of the server's logs."""

    _gunicorn = True

    def __init__(self, log, formatter):
        super().__init__(Stream(log))
        self.setFormatter(formatter)
        self._usual = formatter

    def emit(self, message):
        if hasattr(message, _WRITTEN):
            return
        try:
            if self.stream.name == ACCESS:
                self.stream.write(self.format(message) + self.terminator)
                return
            formatted = self.formatter is not self._usual or not _is_usual(message)
            text = self.format(message) + self.terminator if formatted else None
            record(message.levelno, _MESSAGE.format(message), text)
        except Exception:
            self.handleError(message)


def _is_usual(message):
    """Whether the level is one that the server knows too."""
    return _LEVELS.get(message.levelno) == message.levelname


_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
_handlers = {
    ERROR: Handler(ERROR, logging.Formatter(_FORMAT, _DATE_FORMAT)),
    ACCESS: Handler(ACCESS, logging.Formatter("%(message)s")),
}


def attach(level, access):
    """Put the handlers in their places, instead of those that are there."""
    for name, handler in _handlers.items():
        log = logging.getLogger(name)
        log.propagate = False
        ours = [other for other in log.handlers if getattr(other, "_gunicorn", False)]
        for other in ours:
            if other is not handler or (name == ACCESS and not access):
                log.removeHandler(other)
        if (name == ERROR or access) and handler not in log.handlers:
            log.addHandler(handler)
    logging.getLogger(ERROR).setLevel(level)
    logging.getLogger(ACCESS).setLevel(logging.INFO)


def exception(message, kind, error, trace):
    """Tell the logger of an exception that the server writes itself: applications may have handlers of
    their own there, and packages that collect errors look there."""
    logging.getLogger(ERROR).error(message, exc_info=(kind, error, trace), extra={_WRITTEN: True})


def detach():
    """Take the handlers away."""
    for name, handler in _handlers.items():
        logging.getLogger(name).removeHandler(handler)


def _submodule(name):
    """`logging.config` and `logging.handlers` are there without an import of their own: gunicorn has
    imported them, and there are applications that rely on it."""
    if name in ("config", "handlers"):
        import importlib

        return importlib.import_module("logging." + name)
    raise AttributeError("module 'logging' has no attribute %r" % name)


if "__getattr__" not in vars(logging):
    logging.__getattr__ = _submodule
