"""An ordinary application inside the validator of the standard library, and its findings."""

import warnings
from wsgiref.validate import validator

warnings.simplefilter("error")


def answer(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.errors"].write("validated\n")
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("X-Method", environ["REQUEST_METHOD"])])
    if environ["PATH_INFO"] == "/write":
        write(b"written ")
    return [b"got ", body]


app = validator(answer)
