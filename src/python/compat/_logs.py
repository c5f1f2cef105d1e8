"""What the server does with its logger, whatever class that is of."""

import logging
import sys

from gunicorn import _native
from gunicorn.glogging import _OWN_METHODS as OWN_METHODS, _Own as OWN, loggers


def reopen_all(log=None):
    """Open the files of all handlers again, and tell of those for which that fails."""
    handlers = {id(handler): handler for one in (logging.root, *loggers()) for handler in one.handlers}
    tell = (log or logging.getLogger("gunicorn.error")).error
    for handler in handlers.values():
        if isinstance(handler, logging.FileHandler):
            failure = _reopen(handler)
            if failure is not None:
                tell("Log file not reopened, the old one stays open: %s", failure)


def _reopen(handler):
    handler.acquire()
    try:
        old = handler.stream
        if old is not None:
            handler.stream = handler._open()
            old.close()
    except OSError as error:
        return error
    finally:
        handler.release()
    return None


def _is_own(log, name):
    """Whether a method of the logger is the one that it has by default."""
    return getattr(getattr(log, name), "__func__", None) is OWN_METHODS[name]


def wants_debug(log):
    """Whether debug messages come to anything."""
    return not _is_own(log, "debug") or log.error_log.isEnabledFor(logging.DEBUG)


def wants_access(log):
    """Whether calls of `access` come to anything."""
    return not _is_own(log, "access") or bool(log.access_log_enabled)


# What the line of a request is made with.
_OF_REQUESTS = {"access", "access_log", "access_log_enabled", "atoms", "atoms_wrapper_class", "now", "_get_user"}


def touched(log):
    """Whether this is not the logger that the server has made, or as it was made: for records, for
    requests."""
    own = type(log) is OWN or type(log) is getattr(
        sys.modules.get("gunicorn.instrument.statsd"), "Statsd", None
    )
    if not own:
        return True, True
    # Attributes of its own where there are some of the class.
    names = {name for name, value in vars(log).items() if callable(value) and hasattr(type(log), name)}
    if log.error_log is not logging.getLogger("gunicorn.error"):
        names.add("error_log")
    if log.access_log is not logging.getLogger("gunicorn.access"):
        names.add("access_log")
    return bool(names - _OF_REQUESTS), bool(names & _OF_REQUESTS)


def adopt(cfg):
    """Make a logger for loggers that are set up already and stay as they are."""
    kind = OWN
    if cfg.settings["statsd_host"].value is not None:
        from gunicorn.instrument.statsd import Statsd as kind

    logs = [logging.getLogger(name) for name in ("gunicorn.error", "gunicorn.access")]
    propagate = [log.propagate for log in logs]
    with _native.own_handlers().left_alone():
        log = kind(cfg)
    for adopted, value in zip(logs, propagate):
        adopted.propagate = value
    return log


def log_exception(log, error, message):
    """Call `exception` as an `except` clause does."""
    trace = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = trace
        log.exception(message)


def write_errors(text, stderr):
    """Write to the files behind the error log, of which standard error may be the first."""
    handlers = logging.getLogger("gunicorn.error").handlers
    streams = [getattr(handler, "stream", None) for handler in handlers]
    if stderr:
        streams[:1] = [sys.stderr]
    for stream in filter(None, streams):
        try:
            stream.write(text)
        except UnicodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
