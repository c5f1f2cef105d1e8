"""A request, as the hooks pre_request and post_request see it."""

# What may be changed in pre_request, and is looked at again behind it.
_LOOKED_AT = ("method", "uri", "path", "query", "version", "scheme")


class Message:
    """What a request consists of besides its first line."""


class Request(Message):
    """What the head of a request says. The server makes it."""

    def __init__(self, cfg, unreader, peer_addr, req_number=1):
        raise RuntimeError(
            "rgunicorn does not read requests in Python: gunicorn.http.message.Request is there for "
            "the hooks pre_request and post_request"
        )

    def force_close(self):
        """Have the connection closed behind the response."""
        self.must_close = True

    def should_close(self):
        """Whether the connection will be closed behind the response, as far as the request tells."""
        return self.must_close or not self._keep_alive

    def _remember(self):
        """Before pre_request."""
        self._before = [getattr(self, name) for name in _LOOKED_AT], list(self.headers)

    def _amend(self, environ):
        """After pre_request: what it has changed goes into the environ."""
        values, headers = self._before
        now = [getattr(self, name) for name in _LOOKED_AT]
        if now != values:
            from gunicorn.http.wsgi import amend_target

            amend_target(environ, self)
        if self.headers != headers:
            from gunicorn.http.wsgi import amend_headers

            amend_headers(environ, headers, self.headers)

    def __getattr__(self, name):
        if name == "unreader":
            raise AttributeError(
                "rgunicorn's requests have no 'unreader': read the body from req.body"
            )
        raise AttributeError("'Request' object has no attribute %r" % name)
