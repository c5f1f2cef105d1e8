"""Every way an application can answer; the path chooses one."""

import os
import sys


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"plain"]


def unsized(environ, start_response):
    start_response("200 OK", [])
    return [b"one", b"", b"twotwotwotwotwotwo", b"3"]


def sizes(environ, start_response):
    start_response("200 OK", [("X-After", "1")])
    return [b"x" * 0xab, b"y" * 0xabc]


def empty(environ, start_response):
    start_response("200 OK", [])
    return []


def lazy(environ, start_response):
    """start_response is called when the first item is asked for."""
    start_response("201 Made Late", [("X-Lazy", "yes")])
    yield b"late"


def teapot(environ, start_response):
    start_response("418 I'm a teapot", [("Content-Length", "0")])
    return []


def number_only(environ, start_response):
    start_response("299", [("Content-Length", "2")])
    return [b"ok"]


def latin_status(environ, start_response):
    start_response("200 Tr\xe8s bien", [("Content-Length", "2")])
    return [b"ok"]


def listed(environ, start_response):
    """Headers in any sequence of sequences, and arguments by name."""
    start_response(status="200 OK", headers=(["X-A", "1"], ("X-B", "2")), exc_info=None)
    return [b"ok"]


def two_lengths(environ, start_response):
    start_response("200 OK", [("Content-Length", "9"), ("Content-Length", "2")])
    return [b"okay"]


def negative_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "-1")])
    return [b"okay"]


def headers(environ, start_response):
    start_response("200 OK", [
        ("x-FIRST", "1"),
        ("Server", "mine"),
        ("Date", "never"),
        ("Connection", "keep-alive"),
        ("Keep-Alive", "9"),
        ("Proxy-Authenticate", "x"),
        ("Proxy-Authorization", "x"),
        ("TE", "x"),
        ("Trailers", "x"),
        ("Transfer-Encoding", "gzip"),
        ("Upgrade", "h2c"),
        ("Trailer", "kept"),
        ("Proxy-Connection", "kept"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Blank", " \t padded \t "),
        ("X-Latin", "caf\xe9"),
        ("X-Empty", ""),
        ("Content-Length", "2"),
    ])
    return [b"ok"]


def no_content(environ, start_response):
    start_response("204 No Content", [("Content-Length", "3"), ("X-Kept", "1")])
    return [b"abc"]


def interim(environ, start_response):
    start_response("199 Odd", [("Content-Length", "3"), ("X-Kept", "1")])
    return [b"a", b"bc"]


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("Content-Length", "3"), ("ETag", '"x"')])
    return [b"abc"]


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"abc", b"def", b"ghi"]


def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"abc"]


def written(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "9")])
    write(b"one")
    write(b"two")
    return [b"end"]


def written_unsized(environ, start_response):
    write = start_response("200 OK", [])
    write(b"one")
    write(b"")
    return [b"end"]


def many(environ, start_response):
    """A mebibyte in one item, then as much in many."""
    start_response("200 OK", [])
    yield b"x" * 1048576
    for number in range(1024):
        yield b"%04d" % number * 256


def gated(environ, start_response):
    """The second item is made once the named pipe was opened by somebody else."""
    start_response("200 OK", [])
    yield b"first"
    with open(environ["QUERY_STRING"]) as pipe:
        pipe.read()
    yield b" second"


def gated_write(environ, start_response):
    write = start_response("200 OK", [])
    write(b"first")
    with open(environ["QUERY_STRING"]) as pipe:
        pipe.read()
    return [b" second"]


def gated_head(environ, start_response):
    """There is nothing yet, but the head is due."""
    start_response("200 OK", [("X-Early", "1")])
    yield b""
    with open(environ["QUERY_STRING"]) as pipe:
        pipe.read()
    yield b"late"


def gated_head_write(environ, start_response):
    start_response("200 OK", [("X-Early", "1")])(b"")
    with open(environ["QUERY_STRING"]) as pipe:
        pipe.read()
    return [b"late"]


def large(environ, start_response):
    start_response("200 OK", [("Content-Length", str(2 * 1048576))])
    return [b"l" * 2 * 1048576]


def file(environ, start_response):
    """Query: offset to start at, Content-Length or nothing."""
    offset, _, length = environ["QUERY_STRING"].partition(",")
    source = open(os.environ["FILE"], "rb")
    source.seek(int(offset))
    start_response("200 OK", [("Content-Length", length)] if length else [])
    return environ["wsgi.file_wrapper"](source)


def half_read(environ, start_response):
    """The application has read the beginning, and Python some more."""
    source = open(os.environ["FILE"], "rb")
    source.read(10)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](source)


class Descriptor:
    """A file of which only the descriptor is known."""

    def __init__(self, path):
        self.number = os.open(path, os.O_RDONLY)

    def fileno(self):
        return self.number

    def read(self, size):
        print("descriptor read", file=sys.stderr, flush=True)
        return os.read(self.number, size)

    def close(self):
        position = os.lseek(self.number, 0, os.SEEK_CUR)
        print("descriptor closed at", position, file=sys.stderr, flush=True)
        os.close(self.number)


def descriptor(environ, start_response):
    source = Descriptor(os.environ["FILE"])
    os.lseek(source.number, 10, os.SEEK_SET)
    start_response("200 OK", [("Content-Length", "20")])
    return environ["wsgi.file_wrapper"](source)


class Opaque:
    """A file-like object without a descriptor."""

    def __init__(self, data):
        self.data = data
        self.sizes = []

    def read(self, size=-1):
        self.sizes.append(size)
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def close(self):
        print("opaque closed", set(self.sizes), file=sys.stderr, flush=True)


def opaque(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](Opaque(b"y" * 10), 4)


def wrapper(environ, start_response):
    """The wrapper is a class an application may subclass or check against."""
    kind = environ["wsgi.file_wrapper"]
    made = kind(Opaque(b"z" * 10000))
    facts = [isinstance(kind, type), isinstance(made, kind), made.filelike.data[:1],
             [len(block) for block in made], hasattr(kind(open(os.devnull, "rb")), "close"),
             hasattr(kind(object()), "close")]
    start_response("200 OK", [])
    return [repr(facts).encode()]


def upgrade(environ, start_response):
    start_response("101 Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "websocket")])
    return []


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
