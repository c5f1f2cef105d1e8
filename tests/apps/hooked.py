"""What the tests of hooks call: it leaves traces in stderr between those of the hooks."""

import os
import time


def note(*words):
    os.write(2, ("hook: " + " ".join(map(str, words)) + "\n").encode())


class Body:
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self):
        note("close")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise ValueError("made by the test")
    if path == "/sleeps":
        time.sleep(600)
    headers = [("Content-Length", "2"), ("X-Own", "1"), ("Server", "none"), ("Date", "never")]
    if path == "/started":
        start_response("200 OK", headers)
        raise ValueError("made by the test")
    if path == "/breaks":
        start_response("202 Accepted", headers)
        return Body([b"o", ValueError("made by the test")])
    if path == "/chunks":
        start_response("201 Created", headers[1:])
        return Body([b"some", b"thing"])
    if path == "/environ":
        names = environ.get("HTTP_X_SHOW", "").split()
        text = "|".join(str(environ.get(name)) for name in names).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]
    note("app", environ["wsgi.input"].read().decode())
    start_response("200 OK", headers)
    return Body([b"ok"])
