"""The configuration as hooks, loggers and extensions see it.

What settings there are, how their values are checked and what they are is the server's own table;
classes that extensions derive from `Setting` join it.
"""

import copy
import ipaddress
import os
import re
import sys
import textwrap

from gunicorn import _hooks, _native, _validators, util
from gunicorn._validators import *  # noqa: F403 - part of the interface
from gunicorn.errors import ConfigError  # noqa: F401 - part of the interface
from gunicorn.reloader import reloader_engines  # noqa: F401 - part of the interface

PLATFORM = sys.platform

# The classes of all settings, in the order of their definition.
KNOWN_SETTINGS = []


def make_settings(ignore=None):
    """A new object for each setting, by name."""
    settings = [known() for known in KNOWN_SETTINGS]
    return {setting.name: setting for setting in settings if setting.name not in (ignore or ())}


class Config:
    """The values of all settings. `cfg.NAME` is what the server makes of one; `cfg.settings[NAME]` is
    the setting itself."""

    def __init__(self, usage=None, prog=None):
        self.settings = make_settings()
        self.usage = usage
        self.prog = prog or os.path.basename(sys.argv[0])
        self.env_orig = os.environ.copy()
        self._networks = {}
        self._given = set()

    @classmethod
    def from_native(cls, values, environ):
        """The configuration that the server has: values by name, and the environment it had before
        it changed any of it."""
        config = cls()
        config.env_orig = environ
        for name, value in values.items():
            setting = config.settings[name]
            if name == "post_request":
                value = _validators.validate_post_request(value or setting.default)
            elif name in _hooks.DEFAULTS and value is None:
                value = setting.default
            setting.value = value
        return config

    def __str__(self):
        width = max(map(len, self.settings))
        values = {name: self.settings[name].value for name in sorted(self.settings)}
        return "\n".join(
            "%-*s = %s" % (width, name, "<%s()>" % value.__qualname__ if callable(value) else value)
            for name, value in values.items()
        )

    def __getattr__(self, name):
        if name == "settings":
            # Not there yet, as in a copy that is being made.
            raise AttributeError(name)
        return self._setting(name).get()

    def __setattr__(self, name, value):
        if name != "settings" and name in self.settings:
            raise AttributeError("Invalid access!")
        super().__setattr__(name, value)

    def _setting(self, name):
        try:
            return self.settings[name]
        except KeyError:
            raise AttributeError("No configuration setting for: %s" % name) from None

    def set(self, name, value):
        """Set a value here. A server that runs does not look here: what it does stays as it is
        configured."""
        self._setting(name).set(value)
        self._given.add(name)

    def given(self):
        """The values that somebody has set, for a server that is to be started with them."""
        settings = self.settings.items()
        return {
            name: setting.value
            for name, setting in settings
            if name in self._given or setting.value != type(setting).value
        }

    def validate(self):
        """Check settings against each other."""
        if "h2" in self.http_protocols:
            raise ConfigError("http_protocols includes h2, and rgunicorn does not speak HTTP/2.")

    # What is derived from settings.

    @property
    def address(self):
        return [util.parse_address(util.bytes_to_str(bind)) for bind in self.settings["bind"].get()]

    @property
    def uid(self):
        return self.user

    @property
    def gid(self):
        return self.group

    @property
    def proc_name(self):
        name = self.settings["proc_name"].get()
        return self.default_proc_name if name is None else name

    @property
    def env(self):
        return dict(_pairs(self.raw_env, "="))

    @property
    def paste_global_conf(self):
        entries = self.raw_paste_global_conf
        if entries is None:
            return None
        pairs = _pairs(entries, r"(?<!\\)=")
        return {name.replace("\\=", "="): value.replace("\\=", "=") for name, value in pairs}

    @property
    def sendfile(self):
        return self.settings["sendfile"].get() is not False

    @property
    def is_ssl(self):
        return self.certfile or self.keyfile

    @property
    def ssl_options(self):
        settings = self.settings.items()
        return {name: setting.get() for name, setting in settings if setting.section == "SSL"}

    def _is_threaded(self, uri):
        is_sync = isinstance(uri, str) and (uri == "sync" or uri.endswith("SyncWorker"))
        return is_sync and self.threads > 1

    @property
    def worker_class_str(self):
        uri = self.settings["worker_class"].get()
        if self._is_threaded(uri):
            return "gthread"
        return uri if isinstance(uri, str) else uri.__name__

    @property
    def worker_class(self):
        uri = self.settings["worker_class"].get()
        if self._is_threaded(uri):
            uri = "gthread"
        found = util.load_class(uri)
        if hasattr(found, "setup"):
            found.setup()
        return found

    @property
    def logger_class(self):
        uri = self.settings["logger_class"].get()
        default = "gunicorn.glogging.Logger"
        if uri == "simple":
            uri = default
        if uri == default and self.statsd_host is not None:
            uri = "gunicorn.instrument.statsd.Statsd"
        found = util.load_class(uri, default=default, section="gunicorn.loggers")
        if hasattr(found, "install"):
            found.install()
        return found

    def forwarded_allow_networks(self):
        return self._allowed("forwarded_allow_ips")

    def proxy_allow_networks(self):
        return self._allowed("proxy_allow_ips")

    def _allowed(self, name):
        if name not in self._networks:
            entries = self.settings[name].get()
            self._networks[name] = [ipaddress.ip_network(x) for x in entries if x != "*"]
        return self._networks[name]


def _pairs(entries, separator):
    for entry in entries or ():
        text = util.bytes_to_str(entry)
        pair = re.split(separator, text, maxsplit=1)
        if len(pair) != 2:
            raise RuntimeError("environment setting %r invalid" % text)
        yield pair


class SettingMeta(type):
    """Registers each class derived from `Setting`."""

    def __new__(mcs, name, bases, attrs):
        if not any(isinstance(base, SettingMeta) for base in bases):
            return super().__new__(mcs, name, bases, attrs)
        attrs["order"] = len(KNOWN_SETTINGS)
        attrs["validator"] = staticmethod(attrs["validator"])
        made = super().__new__(mcs, name, bases, attrs)
        made.fmt_desc(attrs.get("desc") or "")
        KNOWN_SETTINGS.append(made)
        return made

    def fmt_desc(cls, desc):
        cls.desc = textwrap.dedent(desc).strip()
        cls.short = cls.desc.partition("\n")[0]


class Setting(metaclass=SettingMeta):
    """One setting and its value."""

    name = None
    value = None
    section = None
    cli = None
    validator = None
    type = None
    meta = None
    action = None
    default = None
    short = None
    desc = None
    nargs = None
    const = None

    def __init__(self):
        if self.default is not None:
            self.set(self.default)

    def copy(self):
        return copy.copy(self)

    def get(self):
        return self.value

    def set(self, val):
        if not callable(self.validator):
            raise TypeError("Invalid validator: %s" % self.name)
        self.value = self.validator(val)

    def __lt__(self, other):
        return self.section == other.section and self.order < other.order

    __cmp__ = __lt__

    def __repr__(self):
        kind = type(self)
        about = (kind.__module__, kind.__name__, id(self), self.value)
        return "<%s.%s object at %x with value %r>" % about


def _class_name(name):
    words = [_WORDS.get(word, word.capitalize()) for word in name.split("_")]
    return _CLASS_NAMES.get(name) or "".join(words)


def _validator(name):
    def validate(val):
        return _native.validate(name, val)

    return validate


def _start(self):
    self.value = copy.copy(type(self).value)


def _define(row):
    """The class of one of the server's own settings."""
    name = row["name"]
    if name in _hooks.DEFAULTS:
        default = _hooks.DEFAULTS[name]
        default.__qualname__ = "%s.%s" % (_class_name(name), name)
        row["default"] = row["value"] = staticmethod(default)
    validator = _VALIDATORS.get(name) or _validator(name)
    attrs = dict(row, validator=validator, __init__=_start, __module__=__name__)
    return SettingMeta(_class_name(name), (Setting,), attrs)


# Where the server is more particular than an object of configuration need be.
_VALIDATORS = {
    "post_request": _validators.validate_post_request,
    "worker_class": _validators.validate_class,
}

_WORDS = {
    "accesslog": "AccessLog",
    "asgi": "ASGI",
    "ca": "CA",
    "certfile": "CertFile",
    "eofs": "EOFs",
    "errorlog": "ErrorLog",
    "http": "HTTP",
    "http2": "HTTP2",
    "ips": "IPS",
    "keyfile": "KeyFile",
    "logconfig": "LogConfig",
    "pythonpath": "PythonPath",
    "ssl": "SSL",
    "websocket": "WebSocket",
    "wsgi": "WSGI",
}

# Names of classes that are not those of their settings.
_CLASS_NAMES = {
    "check_config": "ConfigCheck",
    "config": "ConfigFile",
    "enable_backlog_metric": "BacklogMetric",
    "http_parser": "HttpParser",
    "nworkers_changed": "NumWorkersChanged",
    "post_fork": "Postfork",
    "pre_fork": "Prefork",
    "proc_name": "Procname",
    "proxy_allow_ips": "ProxyAllowFrom",
    "raw_env": "Env",
    "raw_paste_global_conf": "PasteGlobalConf",
    "secure_scheme_headers": "SecureSchemeHeader",
    "ssl_context": "NewSSLContext",
    "syslog_addr": "SyslogTo",
    "threads": "WorkerThreads",
    "uwsgi_allow_ips": "UWSGIAllowFrom",
}

globals().update((made.__name__, made) for made in map(_define, _native.settings()))

# Validators that only one setting has, or few.
validate_asgi_lifespan = _validator("asgi_lifespan")
validate_asgi_loop = _validator("asgi_loop")
validate_header_map_behaviour = _validator("header_map")
validate_http2_cleartext = _validator("http2_cleartext")
validate_http2_frame_size = _validator("http2_max_frame_size")
validate_http2_stream_limit = _validator("http2_max_concurrent_streams")
validate_http2_window_size = _validator("http2_initial_window_size")
validate_http_parser = _validator("http_parser")
validate_http_protocols = _validator("http_protocols")
validate_proxy_protocol = _validator("proxy_protocol")
validate_reload_engine = _validator("reload_engine")
validate_ssl_version = _validator("ssl_version")


def get_default_config_file():
    """The conf file of the working directory, if there is one."""
    path = os.path.join(os.path.abspath(os.getcwd()), "gunicorn.conf.py")
    return path if os.path.exists(path) else None
