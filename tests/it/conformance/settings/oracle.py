"""Tells what gunicorn's configuration makes of single values, without starting a process for each.

Reads cases from standard input: records that end with \\x1e and have fields divided by \\x1f, the kind of
case ("flags" or "conf") and then words of a command line or lines of a conf file. Answers each with a
record: exit status and what gunicorn would print on standard error.
"""

import contextlib
import io
import sys

from gunicorn.config import Config

USAGE = "%(prog)s [OPTIONS] [APP_MODULE]"


def flags(config, words):
    options = vars(config.parser().parse_args(words))
    return [(name, value) for name, value in options.items() if name != "args" and value is not None]


def conf(config, lines):
    scope = {}
    exec("\n".join(lines), scope)
    return [(name, value) for name, value in scope.items() if name in config.settings]


def answer(kind, fields):
    config = Config(USAGE, prog="gunicorn")
    name = value = None
    try:
        for name, value in (flags if kind == "flags" else conf)(config, fields):
            config.set(name, value)
    except SystemExit as exit:
        return exit.code
    except Exception as error:
        if kind == "conf":
            print("Invalid value for %s: %s\n" % (name, value), file=sys.stderr)
        print("\nError: %s" % error, file=sys.stderr)
        return 1
    return 0


for record in sys.stdin.read().split("\x1e")[:-1]:
    kind, *fields = record.split("\x1f")
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        status = answer(kind, fields)
    sys.stdout.write(f"{status}\x1f{err.getvalue()}\x1e")
