"""What benches/hostile.py asks for: a small answer, a large one, and bodies of any size both ways."""

import tempfile

BIG = b"x" * (1 << 20)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/big":
        return _answer(start_response, [BIG], len(BIG))
    if path == "/count":
        total = 0
        while block := environ["wsgi.input"].read(1 << 16):
            total += len(block)
        body = str(total).encode()
        return _answer(start_response, [body], len(body))
    if path == "/file":
        size = int(environ["QUERY_STRING"])
        file = tempfile.TemporaryFile()
        file.truncate(size)
        return _answer(start_response, environ["wsgi.file_wrapper"](file), size)
    if path == "/generate":
        size = int(environ["QUERY_STRING"])
        return _answer(start_response, (BIG for _ in range(size // len(BIG))), size)
    return _answer(start_response, [b"Hello, World!"], 13)


def _answer(start_response, body, length):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(length))])
    return body
