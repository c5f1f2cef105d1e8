"""Exceptions that end a worker or the server."""

from gunicorn import _native

# The one that the server itself raises when there is no application where it was said to be.
AppImportError = _native.AppImportError


class HaltServer(BaseException):
    """Ends the server with an exit status. No `except Exception` of an application catches it."""

    def __init__(self, reason, exit_status=1):
        self.reason = reason
        self.exit_status = exit_status

    def __str__(self):
        return "<HaltServer %r %d>" % (self.reason, self.exit_status)


class ConfigError(Exception):
    """The configuration cannot be used."""
