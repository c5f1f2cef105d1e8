"""An application that logs in all the ways that applications do under gunicorn."""

import logging
import sys

gunicorn = logging.getLogger("gunicorn.error")
gunicorn.info("while importing: %d handlers, level %d", len(gunicorn.handlers), gunicorn.level)
gunicorn.debug("too little to be seen")

# The usual recipe for an application's own logger.
own = logging.getLogger("own")
own.handlers = gunicorn.handlers
own.propagate = False
own.setLevel(logging.DEBUG)

# Gunicorn has imported these.
assert logging.config and logging.handlers


def boom(environ):
    raise ValueError("boom")


def records(environ):
    own.debug("a debug message of the application's own")
    own.log(25, "an odd level")
    try:
        raise KeyError("key")
    except KeyError:
        gunicorn.exception("caught %s", "it")


def formatted(environ):
    for handler in gunicorn.handlers:
        handler.setFormatter(logging.Formatter("<%(levelname)s %(name)s> %(message)s"))
    own.warning("in another format")


def access(environ):
    logging.getLogger("gunicorn.access").info("a line of the application's own")


def errors(environ):
    environ["wsgi.errors"].write("to wsgi.errors\n")


def prints(environ):
    print("to stdout", flush=True)
    print("to stderr", file=sys.stderr, flush=True)


def elsewhere(environ):
    logging.getLogger("elsewhere").warning("to another logger")


def app(environ, start_response):
    page = globals().get(environ["PATH_INFO"][1:])
    if page is not None:
        page(environ)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Answer", 'an "answer"')])
    return [b"answer"]
