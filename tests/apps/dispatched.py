"""Holds slots for as long as the tests want, and says who has answered what."""

import os
import signal
import threading
import time
from urllib.parse import unquote


def note(*words):
    os.write(2, ("note: " + " ".join(map(str, words)) + "\n").encode())


def alarmed(number, frame):
    note("alarm in", threading.current_thread().name)


# Python takes handlers from the main thread only, on which applications are loaded.
signal.signal(signal.SIGALRM, alarmed)


def sized(start_response, body):
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def facts(environ, start_response):
    """Who answers, what it was told of the connection and the request, and behind that the body."""
    body = environ["wsgi.input"].read()
    lines = [f"pid={os.getpid()}", f"thread={threading.current_thread().name}"]
    names = ("REMOTE_", "SERVER_", "PROXY_", "QUERY_STRING", "REQUEST_METHOD", "HTTP_", "wsgi.multi")
    for name, value in sorted(environ.items()):
        if name.startswith(names):
            lines.append(f"{name}={value}")
    return sized(start_response, "\n".join([*lines, "", ""]).encode("latin-1") + body)


def pid(environ, start_response):
    return sized(start_response, b"pid=%d\n\n" % os.getpid())


def await_pipe(path):
    note("held", path, "in", os.getpid())
    with open(path) as pipe:
        pipe.read()


def hold(environ, start_response):
    """Answers once the other end of a named pipe has been opened and closed."""
    await_pipe(unquote(environ["QUERY_STRING"]))
    return facts(environ, start_response)


def half(environ, start_response):
    """Sends the first half of its response, and the second as `hold` does."""
    start_response("200 OK", [("Content-Length", "10")])
    yield b"first"
    await_pipe(unquote(environ["QUERY_STRING"]))
    yield b"other"


def nap(environ, start_response):
    """Takes so many milliseconds."""
    time.sleep(float(environ["QUERY_STRING"]) / 1000)
    return pid(environ, start_response)


def raises(environ, start_response):
    raise ValueError("raised in " + threading.current_thread().name)


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


note("loaded in", os.getpid())
