"""Small functions that gunicorn's own code shares, and that extensions use."""

import email.utils
import errno
import fcntl
import html
import importlib
import importlib.metadata
import inspect
import os
import pwd
import random
import re
import socket
import sys
import time
import traceback
import urllib.parse
from os import closerange  # noqa: F401 - part of the interface

from gunicorn import _native
from gunicorn.workers import SUPPORTED_WORKERS

REDIRECT_TO = os.devnull

GLOB_MAGIC_RE = re.compile(r"[*?[]")

# Headers of a response that belong to the server, not to the application.
hop_headers = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "server",
    "date",
}

positionals = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


# Finding objects by name


def import_app(module):
    """The application named by MODULE, MODULE:NAME or MODULE:FACTORY(ARGUMENTS)."""
    return _native.load_application(module)


def load_entry_point(distribution, group, name):
    """The object behind an entry point of an installed distribution."""
    for entry in importlib.metadata.distribution(distribution).entry_points:
        if entry.group == group and entry.name == name:
            return entry.load()
    raise ImportError("Entry point %r not found" % ((group, name),))


def load_class(uri, default="gunicorn.workers.sync.SyncWorker", section="gunicorn.workers"):
    """The class named by a short name, a dotted path or `egg:DISTRIBUTION#NAME`."""
    if inspect.isclass(uri):
        return uri
    try:
        if uri.startswith("egg:"):
            distribution, _, name = uri.split("egg:")[1].rpartition("#")
            return load_entry_point(distribution or name, section, name if distribution else default)
        if "." not in uri:
            uri = uri.lstrip("#")
            if uri not in SUPPORTED_WORKERS:
                return load_entry_point("gunicorn", section, uri)
            uri = SUPPORTED_WORKERS[uri]
        module_name, _, name = uri.rpartition(".")
        module = importlib.import_module(module_name)
    except Exception:
        raise RuntimeError(
            "class uri %r invalid or not found: \n\n[%s]" % (uri, traceback.format_exc())
        ) from None
    return getattr(module, name)


def get_arity(f):
    """How many positional parameters a callable has."""
    parameters = inspect.signature(f).parameters.values()
    return sum(parameter.kind in positionals for parameter in parameters)


# Addresses and request targets


def is_ipv6(addr):
    try:
        socket.inet_pton(socket.AF_INET6, addr)
    except (OSError, ValueError):
        return False
    return True


def parse_address(netloc, default_port="8000"):
    """What `bind` means by an address: (host, port), a path, or the number of a descriptor."""
    if netloc.startswith("unix:"):
        # What is behind the last scheme in it, should there be several.
        return re.split(r"unix:(?://)?", netloc)[-1]
    if netloc.startswith("fd://"):
        number = netloc[len("fd://"):]
        try:
            return int(number)
        except ValueError:
            raise RuntimeError("%r is not a valid file descriptor." % number) from None
    if netloc.startswith("tcp://"):
        netloc = netloc.split("tcp://")[1]
    if "[" in netloc and "]" in netloc:
        host = netloc.split("]")[0][1:]
        port = netloc.split("]:")[1] if "]:" in netloc else default_port
    elif ":" in netloc:
        host, port = netloc.split(":")[:2]
    else:
        host, port = netloc or "0.0.0.0", default_port
    try:
        port = int(port)
    except ValueError:
        raise RuntimeError("%r is not a valid port number." % port) from None
    return host.lower(), port


def split_request_uri(uri):
    """Split a request target; one that begins with two slashes is a path, not a host."""
    if not uri.startswith("//"):
        return urllib.parse.urlsplit(uri)
    parts = urllib.parse.urlsplit("." + uri)
    return parts._replace(path=parts.path[1:])


def unquote_to_wsgi_str(string):
    return urllib.parse.unquote_to_bytes(string).decode("latin-1")


def is_hoppish(header):
    return header.lower().strip() in hop_headers


def http_date(timestamp=None):
    """A time as HTTP writes it."""
    if timestamp is None:
        timestamp = time.time()
    return email.utils.formatdate(timestamp, localtime=False, usegmt=True)


# Text and bytes


def to_bytestring(value, encoding="utf8"):
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError("%r is not a string" % value)
    return value.encode(encoding)


def bytes_to_str(b):
    return b if isinstance(b, str) else str(b, "latin1")


# Files and directories


def is_glob_pattern(value):
    return GLOB_MAGIC_RE.search(value) is not None


def getcwd():
    """The working directory under the name that the shell knows it by, if PWD has it."""
    actual = os.getcwd()
    try:
        named = os.environ["PWD"]
        return named if os.path.samefile(named, actual) else actual
    except (KeyError, OSError, ValueError):
        return actual


def check_is_writable(path):
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise RuntimeError("Error: '%s' isn't writable [%r]" % (path, error)) from None


def chown(path, uid, gid):
    os.chown(path, uid, gid)


def unlink(filename):
    """Remove a file that need not be there."""
    try:
        os.unlink(filename)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise


_unlink = os.unlink


def has_fileno(obj):
    """Whether there is a descriptor behind a file-like object."""
    try:
        obj.fileno()
    except (AttributeError, OSError):
        return False
    return True


# Descriptors and sockets


def close_on_exec(fd):
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.fcntl(fd, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def set_non_blocking(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


def close(sock):
    try:
        sock.close()
    except OSError:
        # It is gone, which is what was wanted.
        pass


def close_graceful(sock, timeout=2.0, max_drain=65536):
    """Close a socket so that its peer gets all that was sent (RFC 9112 section 9.6)."""
    deadline = time.monotonic() + timeout
    try:
        sock.shutdown(socket.SHUT_WR)
        while max_drain > 0 and (remaining := deadline - time.monotonic()) > 0:
            sock.settimeout(remaining)
            received = len(sock.recv(4096))
            if received == 0:
                break
            max_drain -= received
    except OSError:
        # The peer has gone, or does not go.
        pass
    finally:
        close(sock)


def write_chunk(sock, data):
    data = to_bytestring(data)
    sock.sendall(b"%X\r\n%b\r\n" % (len(data), data))


def write(sock, data, chunked=False):
    if chunked:
        return write_chunk(sock, data)
    sock.sendall(data)


def write_nonblock(sock, data, chunked=False):
    if sock.gettimeout() == 0.0:
        return write(sock, data, chunked)
    sock.setblocking(False)
    try:
        return write(sock, data, chunked)
    finally:
        sock.setblocking(True)


def write_error(sock, status_int, reason, mesg):
    """Send an error page."""
    body = (
        "<html>\n  <head>\n    <title>%s</title>\n  </head>\n  <body>\n    <h1><p>%s</p></h1>\n"
        "    %s\n  </body>\n</html>\n" % (reason, reason, html.escape(mesg))
    )
    head = (
        "HTTP/1.1 %s %s\r\nConnection: close\r\nContent-Type: text/html\r\n"
        "Content-Length: %d\r\n\r\n" % (status_int, reason, len(body))
    )
    write_nonblock(sock, (head + body).encode("latin1"))


# The process


def get_username(uid):
    return pwd.getpwuid(uid).pw_name


def set_owner_process(uid, gid, initgroups=False):
    """Give up privileges: change group and user as far as they differ."""
    if gid:
        username = None
        if uid and initgroups:
            try:
                username = get_username(uid)
            except KeyError:
                # A user without an account has no further groups.
                username = None
        if username is not None:
            os.initgroups(username, gid)
        elif gid != os.getgid():
            os.setgid(gid)
    if uid and uid != os.getuid():
        os.setuid(uid)


def daemonize(enable_stdio_inheritance=False):
    raise RuntimeError(
        "gunicorn.util.daemonize cannot be used inside rgunicorn: a server that runs in the "
        "background needs the setting daemon."
    )


def _setproctitle(title):
    _native.set_title("gunicorn: %s" % title)


def seed():
    random.seed(os.urandom(64))


# Messages and errors


def warn(msg):
    lines = msg.splitlines()
    lines[:1] = ["WARNING: %s" % line for line in lines[:1]]
    text = "".join("!!! %s\n" % line for line in lines)
    print("!!!\n%s!!!\n" % text, file=sys.stderr, flush=True)


def make_fail_app(msg):
    """An application that answers every request with an error and this text."""
    body = to_bytestring(msg)

    def app(environ, start_response):
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response("500 Internal Server Error", headers)
        return [body]

    return app


def reraise(tp, value, tb=None):
    if value is None:
        value = tp()
    raise value.with_traceback(tb)
