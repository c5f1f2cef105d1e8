"""Applications that use more of the connection than WSGI gives them; the path chooses one."""

import os
import select
import threading


def note(*words):
    os.write(2, ("note: " + " ".join(map(str, words)) + "\n").encode())


def answer(start_response, body):
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def plain(environ, start_response):
    return answer(start_response, b"plain")


def echo(environ, start_response):
    """Speaks a protocol of its own until the client says bye."""
    sock = environ["gunicorn.socket"]
    sock.sendall(b"welcome\n")
    converse(sock)
    raise StopIteration


def converse(sock):
    while (line := sock.recv(100)) not in (b"bye\n", b""):
        sock.sendall(b"you said " + line)


def elsewhere(environ, start_response):
    """A thread goes on with a duplicate of the socket when the request is over."""
    sock = environ["gunicorn.socket"].dup()

    def serve():
        try:
            sock.sendall(b"welcome\n")
            converse(sock)
        except OSError as error:
            note("thread failed:", error)
        finally:
            sock.close()

    # Not before the request is over.
    released = threading.Event()
    timer = threading.Timer(0.2, released.set)
    timer.start()
    threading.Thread(target=lambda: released.wait() and serve()).start()
    raise StopIteration


def looks(environ, start_response):
    """Asks the socket something and answers in the ordinary way."""
    host, port = environ["gunicorn.socket"].getpeername()
    return answer(start_response, b"%s %d" % (host.encode(), port))


def looks_big(environ, start_response):
    environ["gunicorn.socket"].getpeername()
    return answer(start_response, b"x" * 16 * 1048576)


def untouched(environ, start_response):
    """Knows that the socket is there and leaves it alone."""
    return answer(start_response, repr("gunicorn.socket" in environ).encode())


HINTS = {
    "str": [("Link", "</style.css>; rel=preload"), ("X-Latin", "caf\xe9")],
    "bytes": [(b"Link", b"</style.css>; rel=preload")],
    "lists": (["Link", "</style.css>; rel=preload"],),
    "none": [],
    "name": [("Bad Name", "x")],
    "value": [("X-Bad", "a\r\nX-Injected: b")],
    "newline": [(b"X-Bad", b"a\nb")],
    "unicode": [("X-Bad", "\u20ac")],
    "number": [("X-Bad", 1)],
}


def hints(environ, start_response):
    try:
        environ["wsgi.early_hints"](HINTS[environ["QUERY_STRING"]])
    except Exception as error:
        return answer(start_response, type(error).__name__.encode())
    return answer(start_response, b"done")


def hints_twice(environ, start_response):
    for name in ("a", "b"):
        environ["wsgi.early_hints"]([("X-Hint", name)])
    return answer(start_response, b"done")


def hints_late(environ, start_response):
    start_response("200 OK", [("Content-Length", "8")])
    yield b"done"
    environ["wsgi.early_hints"]([("Link", "late")])
    yield b"late"


def patient(environ, start_response):
    """Works until its client is gone, as it learns by asking."""
    gone = environ["rgunicorn.client_gone"]
    note("still there" if not gone() else "gone at once")
    for _ in range(2000):
        if gone():
            note("client gone")
            break
        select.select([], [], [], 0.005)
    return answer(start_response, b"late")


def asks(environ, start_response):
    return answer(start_response, repr(environ["rgunicorn.client_gone"]()).encode())


class Asking:
    """Its text takes a look at the request."""

    def __init__(self, gone):
        self.gone = gone

    def __str__(self):
        return f"gone: {self.gone()}"


def shown(environ, start_response):
    """For an access log that shows the variable."""
    environ["asking"] = Asking(environ["rgunicorn.client_gone"])
    return answer(start_response, b"done")


KEPT = []


def keeps(environ, start_response):
    """Asks about the request before this one, which is over."""
    KEPT.append(environ["rgunicorn.client_gone"])
    return answer(start_response, repr([gone() for gone in KEPT]).encode())


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
