"""Answers in all the ways that the access log tells apart."""

import io


def plain(environ, start_response):
    start_response("200 OK", [("Content-Length", "5"), ("X-One", "first"), ("x-one", "last")])
    return [b"plain"]


def empty(environ, start_response):
    start_response("204 No Content", [])
    return []


def same(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"a"')])
    return []


def chunks(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (piece for piece in (b"one", b"", b"three"))


def write(environ, start_response):
    start_response("201 Made", [])(b"written")
    return [b" and more"]


def file(environ, start_response):
    start_response("200 OK", [("Content-Length", "7")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"wrapped"))


def status(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), [("Content-Length", "0")])
    return []


def body(environ, start_response):
    text = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


def changed(environ, start_response):
    """As middleware does."""
    environ["REQUEST_METHOD"] = "BREW"
    environ["REMOTE_ADDR"] = "192.0.2.1"
    environ["PATH_INFO"] = "/elsewhere"
    environ["QUERY_STRING"] = "q"
    environ["HTTP_REFERER"] = "here"
    environ["HTTP_USER_AGENT"] = "pot"
    environ["app.number"] = 5
    environ["app.text"] = "\u4e2d\u00e9"
    environ["app.None"] = None
    start_response("200 OK", [("Content-Length", "0")])
    return []


def fail(environ, start_response):
    raise ValueError("made by the test")


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0]
    return globals()[name](environ, start_response)
