"""Classes that programs subclass in order to start a server by themselves.

`run` starts it, in a process in which no server runs yet. In the server's own processes, where modules
with such classes may be imported too, it refuses.

`Application.wsgi` is where monitoring agents put their wrappers around the application, therefore the
server takes it from there.
"""

import argparse
import os
import shlex
import sys

from gunicorn import _native


class BaseApplication:
    """A program that starts a server: `load_config` and `load` are for subclasses to define."""

    def __init__(self, usage=None, prog=None):
        self.usage = usage
        self.prog = prog
        self.cfg = self.callable = self.logger = None
        self.do_load_config()

    def do_load_config(self):
        """Make the configuration, or end the program and say what is wrong with it."""
        try:
            self.load_default_config()
            self.load_config()
        except Exception as error:
            print("\nError: %s" % error, file=sys.stderr, flush=True)
            sys.exit(1)

    def load_default_config(self):
        from gunicorn.config import Config

        self.cfg = Config(self.usage, prog=self.prog)

    def init(self, parser, opts, args):
        raise NotImplementedError

    def load(self):
        raise NotImplementedError

    def load_config(self):
        raise NotImplementedError

    def reload(self):
        """Make the configuration anew."""
        self.do_load_config()

    def wsgi(self):
        """The application object, loaded when it is first asked for."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self):
        """Run the server until it is stopped, and end the program."""
        sys.exit(_native.program().run(self))


class Application(BaseApplication):
    """The same with a command line and a conf file."""

    def chdir(self):
        """Go to the directory of the application, and import modules from there."""
        os.chdir(self.cfg.chdir)
        if self.cfg.chdir not in sys.path:
            sys.path.insert(0, self.cfg.chdir)

    def load_config(self):
        options, words = self._parse(sys.argv[1:])
        more, _ = self._parse(shlex.split(os.environ.get("GUNICORN_CMD_ARGS", "")))
        namespace = argparse.Namespace(**dict.fromkeys(self.cfg.settings))
        vars(namespace).update(options, args=words)
        # Parsing is over; what a subclass may want to do with a parser is to complain.
        parser = argparse.ArgumentParser(usage=self.usage, prog=self.prog)
        own = self.init(parser, namespace, words)
        self.chdir()
        self._set_all(own or {})
        self._read_conf(options.get("config") or more.get("config"))
        self._set_all(more)
        self._set_all(options)
        self.chdir()

    def load_config_from_file(self, filename):
        """Read a conf file: PATH, file:PATH or python:MODULE."""
        return self._read_conf(filename)

    load_config_from_module_name_or_filename = load_config_from_file

    @staticmethod
    def _parse(words):
        options, application = _native.parse_options(words)
        return options, application

    def _read_conf(self, location):
        values = _native.read_conf_file(location)
        self._set_all(values)
        return values

    def _set_all(self, values):
        for name, value in values.items():
            self.cfg.set(name.lower(), value)


def __getattr__(name):
    # What else is expected here is not worth an import each time the server starts.
    if name in ("Config", "get_default_config_file"):
        from gunicorn import config

        return getattr(config, name)
    if name == "Arbiter":
        from gunicorn.arbiter import Arbiter

        return Arbiter
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
