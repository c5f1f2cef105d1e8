"""Application factories and everything that is not quite an application."""

import os

from responses import plain as application


def named(name):
    def app(environ, start_response):
        body = name.encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return app


def create_app():
    return named("created")


def factory(*args, **kwargs):
    return named(f"{args!r} {kwargs!r}")


def needs(argument):
    return named(argument)


def fails():
    raise TypeError("inside the factory")


def returns_none():
    return None


class Holder:
    app = named("attribute")


not_callable = 42
value = os.environ.get("VALUE")
configured = named(f"{value}")
