"""Requests and what can be wrong with them, as hooks and applications see them."""

from gunicorn import _absent
from gunicorn.http.message import Message, Request

__all__ = ["Message", "Request"]

__getattr__ = _absent.names(
    __name__, "RequestParser get_parser", "the server reads requests, and not in Python"
)
