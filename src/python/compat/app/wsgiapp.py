"""The command's own application."""

from gunicorn import util
from gunicorn.app.base import Application


class WSGIApplication(Application):
    """The WSGI application that the server was started with."""

    def load_wsgiapp(self):
        return util.import_app(self.app_uri)

    def load(self):
        return self.load_wsgiapp()


def run(prog=None):
    raise RuntimeError(
        "gunicorn.app.wsgiapp.run cannot start a server inside rgunicorn: start it with the command "
        "rgunicorn."
    )
