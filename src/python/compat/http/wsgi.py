"""A response, as the hook post_request sees it, and what pre_request can do to an environ."""

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


__getattr__ = _absent.names(
    __name__,
    "create default_environ base_environ proxy_environ",
    "the server makes environs, and not in Python",
)

sys.modules[__name__].__class__ = _heads.Module
