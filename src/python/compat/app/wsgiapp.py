"""The application of a command line."""

import sys

from gunicorn import _native
from gunicorn.app.base import Application
from gunicorn.errors import ConfigError


class WSGIApplication(Application):
    """The WSGI application that a server was started with."""

    @classmethod
    def of(cls, uri):
        """The one of this name."""
        made = cls.__new__(cls)
        made.app_uri = uri
        made.callable = made.cfg = made.logger = made.prog = made.usage = None
        return made

    def init(self, parser, opts, args):
        self.app_uri = None
        if args:
            self.app_uri = args[0]
            self.cfg.set("default_proc_name", args[0])

    def load_config(self):
        super().load_config()
        if self.app_uri is None:
            self.app_uri = self.cfg.wsgi_app
        if self.app_uri is None:
            raise ConfigError("No application module specified.")

    def load_wsgiapp(self):
        return _native.load_application(self.app_uri)

    def load(self):
        return self.load_wsgiapp()


def run(prog=None):
    """What the command does, with the arguments of this process."""
    sys.exit(_native.program().main())
