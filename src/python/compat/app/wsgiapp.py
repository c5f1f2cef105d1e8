"""The command's own application."""

from gunicorn import _native
from gunicorn.app.base import Application


class WSGIApplication(Application):
    """The WSGI application that the server was started with."""

    @classmethod
    def of(cls, uri):
        """The one of this name."""
        made = cls.__new__(cls)
        made.app_uri = uri
        made.callable = made.cfg = made.logger = made.prog = made.usage = None
        return made

    def load_wsgiapp(self):
        return _native.load_application(self.app_uri)

    def load(self):
        return self.load_wsgiapp()


def run(prog=None):
    raise RuntimeError(
        "gunicorn.app.wsgiapp.run cannot start a server inside rgunicorn: start it with the command "
        "rgunicorn."
    )
