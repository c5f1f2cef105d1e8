"""What the tests of slow and hostile clients ask for; the path chooses one."""

import os
import sys

BIG = b"x" * 1048576


def note(*words):
    os.write(2, ("note: " + " ".join(map(str, words)) + "\n").encode())


def answer(start_response, body, headers=()):
    start_response("200 OK", [("Content-Length", str(len(body))), *headers])
    return [body]


def plain(environ, start_response):
    return answer(start_response, b"plain")


def pid(environ, start_response):
    return answer(start_response, b"%d" % os.getpid())


def big(environ, start_response):
    """A mebibyte, always the same object."""
    return answer(start_response, BIG)


def huge(environ, start_response):
    """So many mebibytes at once, more than sockets hold."""
    return answer(start_response, BIG * int(environ["QUERY_STRING"]))


def generate(environ, start_response):
    """So many mebibytes in pieces; the file PRODUCED grows by a byte for each piece of 16 KiB."""
    count = int(environ["QUERY_STRING"]) * 64
    start_response("200 OK", [("Content-Length", str(count * 16384))])
    with open(os.environ["PRODUCED"], "ab", buffering=0) as produced:
        for _ in range(count):
            produced.write(b".")
            yield BIG[:16384]


def body(environ, start_response):
    data = environ["wsgi.input"].read()
    return answer(start_response, b"%d" % len(data))


def first(environ, start_response):
    """Reads so many bytes of the body and no more."""
    data = environ["wsgi.input"].read(int(environ["QUERY_STRING"]))
    note("read", len(data))
    return answer(start_response, data)


def forgiving(environ, start_response):
    """Takes a body that cannot be read for its own problem and answers."""
    try:
        data = environ["wsgi.input"].read()
    except Exception as error:
        note("caught", type(error).__name__)
        data = b"caught"
    return answer(start_response, data)


def insistent(environ, start_response):
    """The same, and tries again."""
    stream = environ["wsgi.input"]
    found = []
    for _ in range(3):
        try:
            found.append(stream.read())
        except Exception as error:
            found.append(type(error).__name__)
    return answer(start_response, repr(found).encode())


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


note("loaded")
