"""What WSGI says about the life of one request: who is called, how often, and what errors do.

Everything worth knowing is printed to stderr, which is where the tests look for it.
"""

import errno
import os
import signal
import sys


def note(*words):
    print("note:", *words, file=sys.stderr, flush=True)


class Body:
    """An iterable that says when it is closed, and may fail on the way."""

    def __init__(self, name, items, error=None):
        self.name = name
        self.items = iter(items)
        self.error = error

    def __iter__(self):
        return self

    def __next__(self):
        for item in self.items:
            return item
        if self.error is not None:
            raise self.error
        raise StopIteration

    def close(self):
        note(self.name, "closed")


def closes(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return Body("closes", [b"o", b"k"])


def forks(environ, start_response):
    """Has a child that leaves as a program would, not by os._exit."""
    child = os.fork()
    if child == 0:
        how = environ["QUERY_STRING"]
        if how == "exits":
            sys.exit(7)
        if how == "raises":
            raise ValueError("from the child")
        return [b"from the child"]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response("200 OK", [])
    return [b"%d" % status]


def starts_within_start(environ, start_response):
    class Headers(list):
        def __iter__(self):
            start_response("200 OK", [("X-Inner", "1")])
            return iter([("X-Outer", "1")])

    start_response("404 Not Found", Headers())
    return [b"body"]


def endless(environ, start_response):
    start_response("200 OK", [])
    note("endless begins")
    while True:
        yield bytes(1 << 20)


class Last:
    """Is deleted while the interpreter is taken down, when Python has no signal handlers any more."""

    def __del__(self, kill=os.kill, pid=os.getpid):
        kill(pid(), signal.SIGUSR1)


def signals_itself_at_the_end(environ, start_response):
    global last
    last = Last()
    start_response("200 OK", [])
    return []


def signals_of_forks(environ, start_response):
    """What children do with TERM: before and after the application sets a handler of its own."""

    def child():
        number = os.fork()
        if number == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])

    first = child()
    before = signal.signal(signal.SIGTERM, lambda number, frame: os._exit(5))
    second = child()
    signal.signal(signal.SIGTERM, before)
    start_response("200 OK", [])
    return [b"%d %d" % (first, second)]


def forks_while_iterating(environ, start_response):
    start_response("200 OK", [])
    yield b"a"
    child = os.fork()
    if child == 0:
        yield b"from the child"
        return
    os.waitpid(child, 0)
    yield b"b"


def fails_first(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return Body("fails_first", [], ValueError("before the first item"))


def fails_later(environ, start_response):
    start_response("200 OK", [])
    return Body("fails_later", [b"part"], ValueError("after the first item"))


def fails_sized(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return Body("fails_sized", [b"part"], ValueError("in the middle"))


def close_fails(environ, start_response):
    class Failing(Body):
        def close(self):
            super().close()
            raise ValueError("in close")

    start_response("200 OK", [("Content-Length", "2")])
    return Failing("close_fails", [b"ok"])


def raises(environ, start_response):
    raise ValueError("from the application: é")


def stop_iteration(environ, start_response):
    raise StopIteration


def system_exit(environ, start_response):
    raise SystemExit(7)


def interrupt(environ, start_response):
    raise KeyboardInterrupt


def base_exception(environ, start_response):
    class Odd(BaseException):
        pass

    raise Odd("odd")


def broken_pipe(environ, start_response):
    raise BrokenPipeError(errno.EPIPE, "no more")


def os_error(environ, start_response):
    raise OSError(errno.ENOENT, "gone")


def raises_started(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    raise ValueError("after start_response")


def exits_late(environ, start_response):
    start_response("200 OK", [])
    yield b"part"
    sys.exit(7)


def waits_in_close(environ, start_response):
    """Shows in close what came before it; the client opens the pipe when it has the response."""

    class Waiting(Body):
        def close(self):
            with open(environ["QUERY_STRING"]) as pipe:
                pipe.read()
            with open(os.environ["ACCESS_LOG"]) as log:
                note("logged before close:", "/waits_in_close" in log.read())

    start_response("200 OK", [])
    return Waiting("waits_in_close", [b"whole"])


def never_starts(environ, start_response):
    return [b"body"]


def twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def twice_late(environ, start_response):
    start_response("200 OK", [])
    yield b"part"
    start_response("200 OK", [])


def recovers(environ, start_response):
    """An error handler replaces the headers while none of them were sent."""
    start_response("200 OK", [("X-Old", "1")])
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("503 Replaced", [("X-New", "1")], sys.exc_info())
    return [b"sorry"]


def recovers_late(environ, start_response):
    """Headers are out: start_response has to raise what it is given."""
    start_response("200 OK", [])
    yield b"part"
    try:
        raise ValueError("too late")
    except ValueError:
        try:
            start_response("500 Late", [], sys.exc_info())
        except ValueError as error:
            note("raised again:", error)
            raise


def recovers_behind_nothing(environ, start_response):
    """An empty item has sent the headers."""
    start_response("200 OK", [("X-Old", "1")])
    yield b""
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Late", [], sys.exc_info())


def text_item(environ, start_response):
    start_response("200 OK", [])
    return ["text"]


def text_written(environ, start_response):
    start_response("200 OK", [])("text")
    return []


def text_later(environ, start_response):
    start_response("200 OK", [])
    return [b"part", "text"]


def buffer_item(environ, start_response):
    start_response("200 OK", [])
    return [bytearray(b"ab")]


def bare_bytes(environ, start_response):
    start_response("200 OK", [])
    return b"abc"


def nothing(environ, start_response):
    start_response("200 OK", [])


def bad_status(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("%20", " ").replace("%0d", "\r"), [])
    return []


def bytes_status(environ, start_response):
    start_response(b"200 OK", [])
    return []


def bad_name(environ, start_response):
    start_response("200 OK", [("X Bad", "1")])
    return []


def bad_value(environ, start_response):
    start_response("200 OK", [("X-Bad", "1\r\nX-Injected: 1")])
    return []


def bytes_name(environ, start_response):
    start_response("200 OK", [(b"X-Bad", "1")])
    return []


def empty_name(environ, start_response):
    start_response("200 OK", [("", "1")])
    return []


def wide_name(environ, start_response):
    start_response("200 OK", [("X-\u20ac", "1")])
    return []


def wide_value(environ, start_response):
    start_response("200 OK", [("X-Wide", "\u20ac")])
    return []


def bytes_value(environ, start_response):
    start_response("200 OK", [("X-Bad", b"1")])
    return []


def bad_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "abc")])
    return []


def errors_stream(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("to wsgi.errors: é\n")
    stream.writelines(["line one\n", "line two\n"])
    stream.flush()
    start_response("200 OK", [("Content-Length", "0")])
    return []


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
