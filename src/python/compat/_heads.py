"""What conf files change about the heads of responses: the name of the server, mostly by taking the
Server header out of what `gunicorn.http.wsgi.Response.default_headers` returns."""

from gunicorn import Identity, _native

# In place of the server's name, to see what becomes of it.
NAME = "the-name-of-the-server"

# What else gunicorn's class does, and this one does not.
METHODS = """start_response process_headers is_chunked send_headers write can_sendfile sendfile write_file
    close should_close force_close""".split()

REFUSAL = (
    "rgunicorn writes responses itself: of gunicorn.http.wsgi.Response only default_headers can be "
    "changed, and of what that returns only the Server header"
)


class Module(Identity):
    """`gunicorn.http.wsgi`."""

    def __setattr__(self, name, value):
        if name == "Response":
            look_at(value)
        super().__setattr__(name, value)


class Watched(type):
    """The class of `Response`, whose methods somebody may replace."""

    def __setattr__(cls, name, value):
        if name in METHODS:
            raise RuntimeError(REFUSAL)
        before = vars(cls).get(name)
        super().__setattr__(name, value)
        if name != "default_headers":
            return
        try:
            look_at(cls)
        except RuntimeError:
            super().__setattr__(name, before)
            raise


class Heads(metaclass=Watched):
    """The part of `Response` that makes heads."""

    def default_headers(self):
        """The lines that the server itself begins a head with."""
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        lines = [
            "HTTP/%d.%d %s\r\n" % (*self.req.version, self.status),
            "Server: %s\r\n" % self.version,
            "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
            "Connection: %s\r\n" % connection,
        ]
        return lines + ["Transfer-Encoding: chunked\r\n"] * self.chunked


class SampleRequest:
    method = "GET"
    uri = path = "/"
    query = fragment = ""
    version = (1, 1)
    headers = []

    def should_close(self):
        return False


def look_at(response):
    """Find out what a class makes of the Server header, and have the server do it."""
    for kind in response.__mro__[: response.__mro__.index(Heads)]:
        if kind.__module__ != "gunicorn.http.wsgi" and any(name in vars(kind) for name in METHODS):
            raise RuntimeError(REFUSAL)
    sample = response.__new__(response)
    sample.req = SampleRequest()
    sample.cfg = sample.sock = sample.response_length = None
    sample.version, sample.status, sample.status_code = NAME, "200 OK", 200
    sample.headers, sample.sent = [], 0
    sample.headers_sent = sample.upgrade = sample.chunked = sample.must_close = False
    try:
        made = list(response.default_headers(sample))
    except Exception as error:
        raise RuntimeError("%s. There was an error: %r" % (REFUSAL, error)) from error
    server = [line for line in made if line.lower().startswith("server:")]
    own = [line for line in Heads.default_headers(sample) if not line.startswith("Server:")]
    if [line for line in made if line not in server] != own or len(server) > 1:
        raise RuntimeError(REFUSAL)
    if not server:
        _native.set_server()
    elif (name := server[0].partition(":")[2].strip()) != NAME:
        _native.set_server(name)
