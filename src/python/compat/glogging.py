"""Loggers of the server: what `gunicorn.glogging` offers to those who subclass or configure it.

A `Logger` writes through two loggers of the standard library, `gunicorn.error` and `gunicorn.access`. Where
the server writes its logs by itself, these two have handlers that hand all records to it.
"""

import base64
import binascii
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
import types

from gunicorn import _native, util
from gunicorn._submodules import lend

lend(logging)

SYSLOG_FACILITIES = {
    "kern": 0,
    "user": 1,
    "mail": 2,
    "daemon": 3,
    "auth": 4,
    "security": 4,
    "syslog": 5,
    "lpr": 6,
    "news": 7,
    "uucp": 8,
    "cron": 9,
    "authpriv": 10,
    "ftp": 11,
    **{"local%d" % number: 16 + number for number in range(8)},
}

_ERROR_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
_DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"

CONFIG_DEFAULTS = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": _ERROR_FORMAT,
            "datefmt": _DATE_FORMAT,
            "class": "logging.Formatter",
        }
    },
}

def loggers():
    """All loggers of the standard library that have a name."""
    return [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]


# What could end a quoted value or its line, as the server's own access log escapes it.
_UNSAFE = re.compile(r'["\x00-\x1f\x7f-\x9f\u2028\u2029]|\\+(?="|\Z)')


def _escape(match):
    found = match[0]
    if found == '"':
        return '\\"'
    if found[0] == "\\":
        return found * 2
    code = ord(found)
    return "\\x%02x" % code if code < 256 else "\\u%04x" % code


def _safe(value):
    if not isinstance(value, str):
        return value
    # Nearly all values pass this test, which is much faster than the search.
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return value
    return _UNSAFE.sub(_escape, value)


class SafeAtoms(dict):
    """Values for a log line, in which no client can put an end to a quote or to the line.

    A name that is not there has the value "-". Names in braces are found in any case.
    """

    def __init__(self, atoms):
        super().__init__({name: _safe(value) for name, value in atoms.items()})

    def __getitem__(self, name):
        if name.startswith("{"):
            name = name.lower()
        return super().get(name, "-")


def parse_syslog_address(addr):
    """The type of socket (None: whatever works) and the address that a `syslog_addr` stands for."""
    import socket

    scheme, found, rest = addr.partition("://")
    if not found or scheme not in ("unix", "udp", "tcp"):
        raise RuntimeError("invalid syslog address")
    if scheme == "unix":
        path, _, kind = rest.partition("#")
        return (socket.SOCK_DGRAM if kind == "dgram" else None), path
    if rest.startswith("["):
        host, _, rest = rest[1:].partition("]")
        port = rest.partition(":")[2]
    else:
        host, _, port = rest.partition(":")
        if not host and not port:
            host = "localhost"
    if port and not port.isdecimal():
        raise RuntimeError("%r is not a valid port number." % port)
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    return kind, (host.lower(), int(port or 514))


class Noticed(type):
    """The class of `Logger`, of which a conf file may replace something instead of deriving a class."""

    def __setattr__(cls, name, value):
        super().__setattr__(name, value)
        if cls.__module__ == __name__:
            _native.logger_changed("gunicorn.glogging.%s.%s" % (cls.__name__, name), True)


class Logger(metaclass=Noticed):
    """Error and access log of a server. Subclasses may override whatever they like."""

    LOG_LEVELS = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO

    error_fmt = _ERROR_FORMAT
    datefmt = _DATE_FORMAT
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"

    atoms_wrapper_class = SafeAtoms

    # For subclasses that do not call `__init__` or `setup`.
    logfile = None
    _access_log_enabled = None
    _streams = None
    _configured = False

    def __init__(self, cfg):
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = False
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.propagate = False
        self.error_handlers = []
        self.access_handlers = []
        self.lock = threading.Lock()
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg):
        """Set up both logs as `cfg` says: at the start, and again at each reload."""
        self.cfg = cfg
        self._access_log_enabled = self._compute_access_log_enabled()
        self.loglevel = self.LOG_LEVELS.get((cfg.loglevel or "").lower(), logging.INFO)
        if self._configured:
            # What the last logconfig has put there.
            for log in (self.error_log, self.access_log):
                log.handlers.clear()
            self._configured = False
        own = _native.own_handlers()
        if own is not None:
            self._redirect(None)
            own.attach(self.loglevel, self.access_log_enabled)
            return
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        self._redirect(cfg.errorlog if cfg.capture_output and cfg.errorlog != "-" else None)
        for log in (self.error_log, self.access_log):
            self._remove_handlers(log)
        self._set_handler(
            self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt)
        )
        if cfg.accesslog is not None:
            self._set_handler(
                self.access_log,
                cfg.accesslog,
                fmt=logging.Formatter(self.access_fmt),
                stream=sys.stdout,
            )
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        self._configure(cfg)

    def _configure(self, cfg):
        """Apply one of the logconfig settings."""
        self._configured = bool(cfg.logconfig_dict or cfg.logconfig_json or cfg.logconfig)
        if cfg.logconfig_dict:
            self._configure_by_dict(cfg.logconfig_dict)
        elif cfg.logconfig_json:
            if os.path.exists(cfg.logconfig_json):
                try:
                    with open(cfg.logconfig_json) as file:
                        config = json.load(file)
                except ValueError as error:
                    raise RuntimeError(str(error)) from error
                self._configure_by_dict(config)
        elif cfg.logconfig:
            from logging.config import fileConfig

            if not os.path.exists(cfg.logconfig):
                raise RuntimeError("Error: log config '%s' not found" % cfg.logconfig)
            here = os.path.dirname(os.path.abspath(cfg.logconfig))
            defaults = {**CONFIG_DEFAULTS, "__file__": cfg.logconfig, "here": here}
            fileConfig(cfg.logconfig, defaults=defaults, disable_existing_loggers=False)

    @staticmethod
    def _configure_by_dict(config):
        from logging.config import dictConfig

        try:
            dictConfig({**CONFIG_DEFAULTS, **config})
        except (AttributeError, ImportError, TypeError, ValueError) as error:
            raise RuntimeError(str(error)) from error

    def critical(self, msg, *args, **kwargs):
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg, *args, **kwargs):
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg, *args, **kwargs):
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg, *args, **kwargs):
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg, *args, **kwargs):
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg, *args, **kwargs):
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl, msg, *args, **kwargs):
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    def atoms(self, resp, req, environ, request_time):
        """The values that `access_log_format` may use."""
        status = resp.status
        if isinstance(status, str):
            status = status.split(None, 1)[0] if status.strip() else status
        seconds = request_time.days * 86400 + request_time.seconds
        micros = request_time.microseconds
        protocol = environ["SERVER_PROTOCOL"]
        atoms = {
            "h": environ.get("REMOTE_ADDR", "-"),
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": "%s %s %s" % (environ["REQUEST_METHOD"], environ["RAW_URI"], protocol),
            "s": status,
            "m": environ.get("REQUEST_METHOD"),
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": protocol,
            "b": "-" if resp.sent is None else str(resp.sent),
            "B": resp.sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": seconds,
            "D": seconds * 1000000 + micros,
            "M": seconds * 1000 + micros // 1000,
            "L": "%d.%06d" % (seconds, micros),
            "p": "<%s>" % os.getpid(),
        }
        for values, letter in ((req.headers, "i"), (resp.headers, "o"), (environ, "e")):
            if hasattr(values, "items"):
                values = values.items()
            atoms.update(("{%s}%s" % (name.lower(), letter), value) for name, value in values)
        return atoms

    @property
    def access_log_enabled(self):
        if self._access_log_enabled is None:
            return self._compute_access_log_enabled()
        return self._access_log_enabled

    def _compute_access_log_enabled(self):
        cfg = self.cfg
        return bool(
            cfg.accesslog
            or cfg.logconfig
            or cfg.logconfig_dict
            or cfg.logconfig_json
            or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
        )

    def access(self, resp, req, environ, request_time):
        """Write the line of one request."""
        if not self.access_log_enabled:
            return
        try:
            atoms = self.atoms(resp, req, environ, request_time)
            # Where the server writes the line as JSON, it is made already.
            line = getattr(resp, "_line", None)
            form = self.cfg.access_log_format if line is None else line.replace("%", "%%")
            self.access_log.info(form, self.atoms_wrapper_class(atoms))
        except Exception:
            self.error(traceback.format_exc())

    def now(self):
        """The time of a log line."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def reopen_files(self):
        """Open all files under their names again, after they may have been moved away."""
        if self.logfile is not None:
            self._redirect(self.cfg.errorlog)
        from gunicorn._logs import reopen_all

        reopen_all(self)

    def close_on_exec(self):
        """Keep files from processes that this one executes."""
        for log in loggers():
            for handler in log.handlers:
                if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                    util.close_on_exec(handler.stream.fileno())

    def _redirect(self, path):
        """Send standard output and standard error to a file, or, if None, where they went before."""
        if path is None and self._streams is None:
            return
        streams = (sys.stdout, sys.stderr)
        for stream in streams:
            stream.flush()
        if self._streams is None:
            self._streams = [os.dup(number) for number in (1, 2)]
        old = self.logfile
        if path is None:
            self.logfile, targets = None, self._streams
            self._streams = None
        else:
            self.logfile = open(path, "a+")
            targets = [self.logfile.fileno()] * 2
        for number, target in zip((1, 2), targets):
            os.dup2(target, number)
            if path is None:
                os.close(target)
        if old is not None:
            old.close()

    def _get_gunicorn_handler(self, log):
        return next((h for h in log.handlers if getattr(h, "_gunicorn", False)), None)

    def _remove_handlers(self, log):
        while (handler := self._get_gunicorn_handler(log)) is not None:
            log.removeHandler(handler)

    def _set_handler(self, log, output, fmt, stream=None):
        old = self._get_gunicorn_handler(log)
        if old is not None:
            log.removeHandler(old)
        if output is None:
            return
        if output == "-":
            handler = logging.StreamHandler(stream)
        else:
            util.check_is_writable(output)
            handler = logging.FileHandler(output)
            try:
                os.chown(handler.baseFilename, self.cfg.user, self.cfg.group)
            except OSError:
                # Whoever may not give files away goes on with those of its own.
                handler.acquire()
                handler.release()
        self._add_handler(log, handler, fmt)

    @staticmethod
    def _add_handler(log, handler, fmt):
        handler.setFormatter(fmt)
        handler._gunicorn = True
        log.addHandler(handler)

    def _set_syslog_handler(self, log, cfg, fmt, name):
        from logging.handlers import SysLogHandler

        prefix = cfg.syslog_prefix or cfg.proc_name.replace(":", ".")
        ident = ("gunicorn.%s.%s" % (prefix, name)).replace("%", "%%")
        facility = SYSLOG_FACILITIES.get(cfg.syslog_facility.lower())
        if facility is None:
            raise RuntimeError("unknown facility name")
        kind, address = parse_syslog_address(cfg.syslog_addr)
        handler = SysLogHandler(address=address, facility=facility, socktype=kind)
        self._add_handler(log, handler, logging.Formatter("%s: %s" % (ident, fmt)))

    def _get_user(self, environ):
        """The user name of Basic authentication, if there is one."""
        scheme, blank, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not blank or not scheme.lower().startswith("basic"):
            return None
        try:
            decoded = base64.b64decode(credentials.strip().encode("utf-8"))
            return decoded.partition(b":")[0].decode("utf-8")
        except (binascii.Error, UnicodeDecodeError) as error:
            self.debug("Couldn't get username: %s", error)
            return None


#: The class above, whatever the name stands for by now.
_Own = Logger
#: Its methods, whatever they are by now.
_OWN_METHODS = {name: getattr(_Own, name) for name in ("debug", "access")}


class Watched(types.ModuleType):
    """This module, of which a conf file may replace the class."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "Logger":
            _native.logger_changed("%s.%s" % (__name__, name), False)


sys.modules[__name__].__class__ = Watched
