"""Classes that programs subclass in order to start a server by themselves.

Modules that define such classes can be imported by the server like any other. It cannot be started by
them: its processes are those of the command.

`Application.wsgi` is where monitoring agents put their wrappers around the application, therefore the
server takes it from there.
"""


class BaseApplication:
    """A program that starts a server: `load_config` and `load` are for subclasses to define."""

    def __init__(self, usage=None, prog=None):
        raise RuntimeError(
            "%s cannot start a server inside rgunicorn: start it with the command rgunicorn, and "
            "name the application, as in `rgunicorn module:app`." % type(self).__name__
        )

    def init(self, parser, opts, args):
        raise NotImplementedError

    def load(self):
        raise NotImplementedError

    def load_config(self):
        raise NotImplementedError

    def wsgi(self):
        """The application object, loaded when it is first asked for."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable


class Application(BaseApplication):
    """The same with a command line and a conf file."""


def __getattr__(name):
    # What else is expected here is not worth an import each time the server starts.
    if name in ("Config", "get_default_config_file"):
        from gunicorn import config

        return getattr(config, name)
    if name == "Arbiter":
        from gunicorn.arbiter import Arbiter

        return Arbiter
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
