"""Printing each line of Python code as it is executed."""

import inspect
import linecache
import re
import sys

__all__ = ["spew", "unspew"]

WORDS = re.compile(r"\W+")


class Spew:
    """A trace function that prints module, line number and line, and the values of the names in it."""

    def __init__(self, trace_names=None, show_values=True):
        self.trace_names = trace_names
        self.show_values = show_values

    def __call__(self, frame, event, arg):
        if event == "line":
            name, line = self.where(frame)
            if self.trace_names is None or name in self.trace_names:
                put("%s:%s: %s" % (name, frame.f_lineno, line.rstrip()))
                if self.show_values:
                    self.print_values(frame, line)
        return self

    @staticmethod
    def where(frame):
        """The name of the frame's module and the text of its current line."""
        if "__file__" in frame.f_globals:
            path = re.sub(r"\.py[co]$", ".py", frame.f_globals["__file__"] or "")
            line = linecache.getline(path, frame.f_lineno, frame.f_globals)
            return frame.f_globals.get("__name__"), line
        try:
            lines, first = inspect.getsourcelines(frame)
            return "[unknown]", lines[frame.f_lineno - first]
        except (OSError, IndexError):
            about = (frame.f_code.co_name, frame.f_lasti)
            return "[unknown]", "Unknown code named [%s].  VM instruction #%d" % about

    @staticmethod
    def print_values(frame, line):
        scopes = (frame.f_globals, frame.f_locals)
        values = [
            "%s=%r" % (word, scope[word])
            for word in WORDS.split(line)
            for scope in scopes
            if word in scope
        ]
        if values:
            put("\t%s" % " ".join(values))


def put(line):
    """Prints a line whole: print() writes its end separately, and another thread may come between."""
    sys.stdout.write(line + "\n")


def spew(trace_names=None, show_values=False):
    """Print each line that this thread executes from now on."""
    sys.settrace(Spew(trace_names, show_values))


def unspew():
    """Stop printing."""
    sys.settrace(None)
