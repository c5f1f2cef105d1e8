"""Answers with what the application was handed: one `name=repr` line per environ entry, then the body."""

PLAIN = (str, bool, int, tuple)


def app(environ, start_response):
    lines = [f"{key}={value!r}" for key, value in sorted(environ.items()) if isinstance(value, PLAIN)]
    lines.append(f"body={environ['wsgi.input'].read()!r}")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join(lines).encode("latin-1", "backslashreplace")]


def objects(environ, start_response):
    """What the objects in environ can do."""
    names = ("read", "readline", "readlines", "__iter__", "close", "seek")
    able = [name for name in names if hasattr(environ["wsgi.input"], name)]
    print("printed to wsgi.errors", file=environ["wsgi.errors"])
    start_response("200 OK", [])
    return [repr((able, callable(environ["wsgi.early_hints"]))).encode()]


def quiet(environ, start_response):
    """Answers without touching the request body."""
    body = environ["PATH_INFO"].encode("latin-1")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
