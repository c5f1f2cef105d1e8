"""Handlers of the standard library's `logging` that write to the server's own logs.

They are on `gunicorn.error` and `gunicorn.access` as soon as anything imports `logging`, so that applications
find there what they find under gunicorn. The server's own records come this way only if somebody has changed
something that would make a difference to them. `record`, `write` and `fileno` are the server's.
"""

import contextlib
import logging
import time

from gunicorn._submodules import lend

ERROR, ACCESS = "gunicorn.error", "gunicorn.access"
_FORMATS = {
    ERROR: ("%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]"),
    ACCESS: ("%(message)s", None),
}

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

    def __init__(self, log):
        super().__init__(Stream(log))
        self._log = log
        self.setFormatter(logging.Formatter(*_FORMATS[log]))
        self._names = vars(self).keys() | {"_names"}

    def is_as_made(self):
        """Whether nothing about it was changed."""
        return (
            self.level == logging.NOTSET
            and not self.filters
            and isinstance(self.stream, Stream)
            and self.has_usual_look()
            and not _shadows(self, self._names)
        )

    def has_usual_look(self):
        """Whether what it formats looks like what the server writes."""
        return _look_of(self.formatter) == ("logging", *_FORMATS[self._log], True, [])

    def emit(self, message):
        if hasattr(message, _WRITTEN):
            return
        if not isinstance(self.stream, Stream):
            super().emit(message)
            return
        try:
            if self._log == ACCESS:
                self.stream.write(self.format(message) + self.terminator)
                return
            formatted = not self.has_usual_look() or not _is_usual(message)
            text = self.format(message) + self.terminator if formatted else None
            record(message.levelno, _MESSAGE.format(message), text)
        except Exception:
            self.handleError(message)


def _look_of(formatter):
    """What makes up the look of what it formats, for a comparison."""
    style = getattr(formatter, "_style", None)
    converter = getattr(formatter, "converter", None)
    return (
        # Not the class itself: the conf file may have put another in its place.
        type(formatter).__module__,
        getattr(style, "_fmt", None),
        getattr(formatter, "datefmt", None),
        converter is time.localtime,
        _shadows(formatter, ()),
    )


def _shadows(thing, expected):
    """Attributes of an object itself, other than those expected, that stand before some of its class."""
    own = vars(thing).keys() - expected if hasattr(thing, "__dict__") else ()
    return sorted(name for name in own if hasattr(type(thing), name))


def _is_usual(message):
    """Whether the level is one that the server knows too."""
    return _LEVELS.get(message.levelno) == message.levelname


_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}

# By logger: its handler, the level it was given, and whether the handler was put there.
_left = {}

# Whether `attach` leaves the loggers as they are.
_alone = False


def attach(level, access):
    """Put handlers in their places, instead of those that are there."""
    if _alone:
        return
    for name, level, wanted in ((ERROR, level, True), (ACCESS, logging.INFO, access)):
        log = logging.getLogger(name)
        log.propagate = False
        log.setLevel(level)
        _remove(log)
        # Anew each time, whatever has become of the old one.
        handler = Handler(name)
        if wanted:
            log.addHandler(handler)
        _left[name] = (level, [handler] if wanted else [])


def _remove(log):
    for handler in [other for other in log.handlers if getattr(other, "_gunicorn", False)]:
        log.removeHandler(handler)


@contextlib.contextmanager
def left_alone():
    """Have nothing attached meanwhile."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def touched():
    """Whether records, and requests, would come out differently if they went through the loggers."""
    if logging.root.manager.disable or logging.getLogRecordFactory() is not logging.LogRecord:
        return True, True
    names = any(logging.getLevelName(number) != name for number, name in _LEVELS.items())
    return names or _is_touched(ERROR), _is_touched(ACCESS)


# Attributes that every logger has itself although its class has them too.
_OF_LOGGERS = {"manager"}


def _is_touched(name):
    log = logging.getLogger(name)
    level, handlers = _left.get(name, (None, []))
    return bool(
        log.filters
        or log.disabled
        or log.propagate
        or log.level != level
        or log.handlers != handlers
        or type(log) is not logging.Logger
        or _shadows(log, _OF_LOGGERS)
        or not all(handler.is_as_made() for handler in handlers)
    )


def exception(message, kind, error, trace):
    """Tell the logger of an exception that the server writes itself: applications may have handlers of
    their own there, and packages that collect errors look there."""
    logging.getLogger(ERROR).error(message, exc_info=(kind, error, trace), extra={_WRITTEN: True})


def detach():
    """Take the handlers away."""
    for name in (ERROR, ACCESS):
        _remove(logging.getLogger(name))


lend(logging)
