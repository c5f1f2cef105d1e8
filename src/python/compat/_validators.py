"""Functions that check and convert the values of settings, for classes that extensions define.

The server's own settings are checked by the server: see `gunicorn.config`.
"""

import glob
import grp
import inspect
import ipaddress
import os
import pwd
import re
import warnings

from gunicorn import util
from gunicorn.errors import ConfigError


def validate_bool(val):
    if val is None or isinstance(val, bool):
        return val
    if not isinstance(val, str):
        raise TypeError("Invalid type for casting: %s" % val)
    word = val.lower().strip()
    if word not in ("true", "false"):
        raise ValueError("Invalid boolean: %s" % val)
    return word == "true"


def validate_dict(val):
    if not isinstance(val, dict):
        raise TypeError("Value is not a dictionary: %s " % val)
    return val


def validate_pos_int(val):
    # Numbers written as in a program; True counts as 1.
    number = int(val) if isinstance(val, int) else int(val, 0)
    if number < 0:
        raise ValueError("Value must be positive: %s" % number)
    return number


def validate_string(val):
    if val is None:
        return None
    if not isinstance(val, str):
        raise TypeError("Not a string: %s" % val)
    return val.strip()


def validate_file_exists(val):
    if val is not None and not os.path.exists(val):
        raise ValueError("File %s does not exists." % val)
    return val


def validate_list_string(val):
    if not val:
        return []
    if isinstance(val, str):
        val = [val]
    return [validate_string(item) for item in val]


def validate_list_of_files_or_patterns(val):
    entries = validate_list_string(val)
    for entry in entries:
        if not util.is_glob_pattern(entry):
            validate_file_exists(entry)
        elif not glob.glob(entry, recursive=True):
            text = "Pattern %s currently matches no files." % entry
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    return entries


def validate_string_to_list(val):
    val = validate_string(val)
    return [item.strip() for item in val.split(",") if item] if val else []


def validate_string_to_addr_list(val):
    entries = validate_string_to_list(val)
    for entry in entries:
        if entry != "*":
            ipaddress.ip_network(entry)
    return entries


def validate_class(val):
    if inspect.isfunction(val) or inspect.ismethod(val):
        val = val()
    return val if inspect.isclass(val) else validate_string(val)


def validate_callable(arity):
    """A function that takes callables with so many positional parameters; with any number if -1."""

    def validate(val):
        if isinstance(val, str):
            val = _import(val)
        if not callable(val):
            raise TypeError("Value is not callable: %s" % val)
        if arity not in (-1, util.get_arity(val)):
            raise TypeError("Value must have an arity of: %s" % arity)
        return val

    return validate


def _import(path):
    module_name, dot, name = path.rpartition(".")
    if not dot:
        raise TypeError(
            "Value '%s' is not import string. Format: module[.submodules...].object" % path
        )
    try:
        return getattr(__import__(module_name, fromlist=[name]), name)
    except ImportError as error:
        raise TypeError(str(error)) from None
    except AttributeError:
        raise TypeError("Can not load '%s' from '%s'" % (name, module_name)) from None


def validate_post_request(val):
    val = validate_callable(-1)(val)
    arity = util.get_arity(val)
    if arity == 4:
        return val
    if arity == 3:
        return lambda worker, req, environ, _resp: val(worker, req, environ)
    if arity == 2:
        return lambda worker, req, _environ, _resp: val(worker, req)
    raise TypeError("Value must have an arity of: 4")


def validate_user(val):
    return _account(val, os.geteuid, lambda name: pwd.getpwnam(name).pw_uid, "user")


def validate_group(val):
    return _account(val, os.getegid, lambda name: grp.getgrnam(name).gr_gid, "group")


def _account(val, own, look_up, kind):
    if val is None:
        return own()
    if isinstance(val, int):
        return val
    if val.isdigit():
        return int(val)
    try:
        return look_up(val)
    except KeyError:
        raise ConfigError("No such %s: '%s'" % (kind, val)) from None


def validate_chdir(val):
    val = validate_string(val)
    path = os.path.abspath(os.path.join(util.getcwd(), val))
    if not os.path.exists(path):
        raise ConfigError("can't chdir to %r" % val)
    return path


def validate_statsd_address(val):
    val = validate_string(val)
    if val is None:
        return None
    # A host that is called unix, not a path that is a number.
    if host := re.fullmatch(r"unix:(\d+)", val):
        return "unix", int(host[1])
    try:
        return util.parse_address(val, default_port="8125")
    except RuntimeError:
        raise TypeError("Value must be one of ('host:port', 'unix://PATH')") from None
