"""A response, as the hook post_request sees it, and environs: what pre_request can do to one, and those
that workers of other packages make for requests of their own."""

import sys
from urllib.parse import unquote_to_bytes

from gunicorn import SERVER, SERVER_SOFTWARE, _absent, _heads, _native  # noqa: F401 - part of the interface

# The class of `wsgi.file_wrapper`.
FileWrapper = _native.FileWrapper


class Response(_heads.Heads):
    """What the application has answered. The server makes it when the response is over."""

    def __init__(self, req, sock, cfg):
        raise RuntimeError(
            "rgunicorn does not write responses in Python: gunicorn.http.wsgi.Response is there for "
            "the hook post_request"
        )

    @classmethod
    def _make(cls, req, cfg, status, facts, headers, sent, response_length):
        """`status` is None if the application gave none."""
        self = cls.__new__(cls)
        self.req = req
        self.cfg = cfg
        self.version = SERVER
        self.status = status
        if status is not None:
            self.status_code = int(status[:3])
        self.headers_sent, self.chunked, self.must_close, self.upgrade = facts
        self.headers = headers
        self.sent = sent
        self.response_length = response_length
        return self

    def force_close(self):
        """Too late: the response is over."""
        self.must_close = True

    def is_chunked(self):
        return self.chunked

    def should_close(self):
        return self.must_close or self.req.should_close()


def amend_target(environ, req):
    """A pre_request hook has changed what the request asks for."""
    path = req.path
    script_name = environ.get("SCRIPT_NAME", "")
    if script_name and path.startswith(script_name):
        path = path[len(script_name) :]
    environ["REQUEST_METHOD"] = req.method
    environ["RAW_URI"] = req.uri
    environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    environ["QUERY_STRING"] = req.query
    environ["SERVER_PROTOCOL"] = "HTTP/%d.%d" % tuple(req.version)
    environ["wsgi.url_scheme"] = req.scheme


def amend_headers(environ, before, after):
    """A pre_request hook has changed the headers of the request."""
    for name, _ in before:
        environ.pop(_key(name), None)
    for name, value in after:
        key = _key(name)
        if key in environ and key.startswith("HTTP_"):
            environ[key] += "," + value
        else:
            environ[key] = value


def _key(name):
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def WSGIErrorsWrapper(cfg):
    """An object for `wsgi.errors`."""
    return _native.errors(cfg.errorlog == "-")


def base_environ(cfg):
    """What an environ has whatever the request is."""
    return {
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "wsgi.version": (1, 0),
        "wsgi.errors": WSGIErrorsWrapper(cfg),
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": cfg.workers > 1,
        "wsgi.multithread": False,
        "wsgi.run_once": False,
    }


def default_environ(req, sock, cfg):
    """The same with what the first line of the request says, and its body."""
    environ = base_environ(cfg)
    environ["REQUEST_METHOD"] = req.method
    environ["QUERY_STRING"] = req.query
    environ["RAW_URI"] = req.uri
    environ["SERVER_PROTOCOL"] = "HTTP/" + ".".join(map(str, req.version))
    environ["wsgi.input"] = req.body
    environ["gunicorn.socket"] = sock
    return environ


def proxy_environ(req):
    """What the PROXY protocol says of the connection."""
    info = req.proxy_protocol_info
    if not info:
        return {}
    return {
        "PROXY_PROTOCOL": info["proxy_protocol"],
        "REMOTE_ADDR": info["client_addr"],
        "REMOTE_PORT": str(info["client_port"]),
        "PROXY_ADDR": info["proxy_addr"],
        "PROXY_PORT": str(info["proxy_port"]),
    }


__getattr__ = _absent.names(
    __name__, "create", "the server makes the environs of its requests, and not in Python"
)

sys.modules[__name__].__class__ = _heads.Module
