"""The body of a request: `wsgi.input`."""

from gunicorn import _absent, _native

# The class of the server's own objects, for code that looks at what it has been given.
Body = _native.Input

__getattr__ = _absent.names(
    __name__,
    "ChunkedReader LengthReader EOFReader",
    "the server reads request bodies, and not in Python",
)
