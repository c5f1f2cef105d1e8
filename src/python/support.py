"""What is easier said in Python than in Rust: finding the application, and tracebacks as text.

Executed once in the server's own namespace; nothing here runs per request.
"""

import ast
import atexit
import faulthandler  # noqa: F401 - imported before the fork, as workers need it
import importlib
import os
import signal  # noqa: F401 - the same
import sys
import threading
import traceback


class AppImportError(Exception):
    """The module was imported, but the application object is not to be had from it."""

    __module__ = "gunicorn.errors"


# What web applications import sooner or later, whatever their framework.
COMMON_MODULES = """
base64 bisect calendar contextlib contextvars copy csv dataclasses datetime decimal difflib email.message
email.utils fnmatch gettext hashlib heapq hmac html http.cookies inspect ipaddress json linecache locale
logging mimetypes numbers pathlib pickle pkgutil platform pprint random secrets select selectors shutil
socket socketserver ssl string tempfile textwrap threading traceback typing unicodedata urllib.parse
urllib.request uuid weakref zlib
""".split()


def import_common():
    """Import what workers would otherwise import each for itself, so that they share its memory."""
    for name in COMMON_MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            # A Python built without it; who needs it will say so.
            continue


def load(uri, hints=True):
    """Import the application named by MODULE, MODULE:NAME or MODULE:FACTORY(ARGUMENTS).

    Without hints the errors say what gunicorn says, and no more.
    """
    module_name, colon, expression = uri.partition(":")
    if not colon:
        expression = "application"
    if hints and not module_name:
        raise ImportError("%r names no module; the application is MODULE:CALLABLE" % uri)
    if "/" in module_name and os.path.exists(module_name):
        place, file = os.path.split(module_name)
        stem = file.rpartition(".")[0] or file
        raise ImportError(
            "Failed to find application, did you mean '%s:%s', with --chdir %s?" % (stem, expression, place)
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if module_name.endswith(".py") and os.path.exists(module_name):
            stem = module_name.rpartition(".")[0]
            raise ImportError(
                "Failed to find application, did you mean '%s:%s'?" % (stem, expression)
            ) from None
        if hints and isinstance(error, ModuleNotFoundError) and error.name:
            error.msg += _where(module_name, error.name)
        raise
    name, args, kwargs = _parse(expression)
    try:
        app = getattr(module, name)
    except AttributeError:
        meant = _meant(module) if hints else ""
        raise AppImportError(
            "Failed to find attribute %r in %r.%s" % (name, module_name, meant)
        ) from None
    if args is not None:
        app = _call(app, args, kwargs)
    if app is None:
        raise AppImportError("Failed to find application object: %r" % expression)
    if not callable(app):
        raise AppImportError("Application object must be callable.")
    return app


def _where(application, missing):
    """Where a module was looked for: perhaps not where whoever misses it has it."""
    here = os.getcwd()
    # The application's own module, or a package it is in; not one that it imports.
    if (application + ".").startswith(missing + "."):
        if "/" in application:
            return "; did you mean %r?" % application.replace("/", ".")
        return " in %s (--chdir names another directory)" % here
    if missing.rpartition(".")[0] in sys.modules:
        # A part of a package that has been found.
        return ""
    where = " in %s or the environment %s" % (here, sys.prefix)
    if sys.prefix == sys.base_prefix:
        where = " in %s or the Python of %s, as no virtual environment is used" % (here, sys.prefix)
    active = os.environ.get("VIRTUAL_ENV")
    if active and os.path.realpath(active) != os.path.realpath(sys.prefix):
        where += "; the active one is %s" % active
        if "rgunicorn" in sys.modules:
            where += ": install rgunicorn there"
    return where


def _meant(module):
    """A question to whoever has named something that is not in the module, if there is a likely answer."""
    for name, call in ("app", ""), ("application", ""), ("create_app", "()"), ("make_app", "()"):
        if callable(getattr(module, name, None)):
            return " Did you mean '%s:%s%s'?" % (module.__name__, name, call)
    return ""


def _parse(expression):
    """Split an expression into a name and, if it is a call, its literal arguments."""
    try:
        body = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise AppImportError(
            "Failed to parse %r as an attribute name or function call." % expression
        ) from None
    if isinstance(body, ast.Name):
        return body.id, None, None
    if not isinstance(body, ast.Call):
        raise AppImportError(
            "Failed to parse %r as an attribute name or function call." % expression
        )
    if not isinstance(body.func, ast.Name):
        raise AppImportError("Function reference must be a simple name: %r" % expression)
    try:
        args = [ast.literal_eval(arg) for arg in body.args]
        kwargs = {kw.arg: ast.literal_eval(kw.value) for kw in body.keywords}
    except ValueError:
        raise AppImportError(
            "Failed to parse arguments as literal values: %r" % expression
        ) from None
    return body.func.id, args, kwargs


def _call(factory, args, kwargs):
    """Call an application factory; arguments that do not fit are told from errors inside it."""
    try:
        return factory(*args, **kwargs)
    except TypeError as error:
        inner = sys.exc_info()[2].tb_next
        if inner is not None:
            raise
        raise AppImportError("TypeError: %s" % error) from None


def format_exception(kind, error, trace):
    """A traceback as Python prints it, without the server's own frames in front."""
    return "".join(traceback.format_exception(kind, error, without_own(trace))).rstrip("\n")


def without_own(trace):
    """A traceback without the server's own frames in front."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(__file__):
        trace = trace.tb_next
    return trace


def be_traced():
    """Have the calling thread traced and profiled as `threading` has those that it starts."""
    for hook, begin in (threading._trace_hook, sys.settrace), (threading._profile_hook, sys.setprofile):
        if hook is not None:
            begin(hook)


def keep_measurements():
    """Have `coverage run` write down what is measured in this worker.

    It does that when what it has started returns. A worker of gunicorn returns there; this one ends where it is.
    """
    measuring = getattr(sys.modules.get("coverage"), "Coverage", None)
    current = measuring and measuring.current()
    if current:
        atexit.register(current.save)
        atexit.register(current.stop)


def wind_up():
    """Do what the interpreter does at its end, as far as threads that are still running allow."""
    for step in (atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        try:
            step()
        except Exception:
            # atexit has shown it; a stream that is gone is no reason not to leave.
            continue


def format_stacks():
    """The stacks of all threads, the calling one first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    frames = sys._current_frames()
    lines = []
    for ident in sorted(frames, key=lambda ident: (ident != own, ident)):
        frame = frames[ident]
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        if frame is None:
            # A thread of the server's own that does nothing but ask for this.
            continue
        lines.append("Thread %s (%s):" % (ident, names.get(ident, "unknown to threading")))
        lines.extend(line.rstrip("\n") for line in traceback.format_stack(frame))
    return "\n".join(lines)


def watched_files(extra):
    """The files that the running code comes from, and those that `extra` names, by now."""
    modules = []
    for module in list(sys.modules.values()):
        # Asking a module itself could run code: some import others when an attribute is asked for.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            modules.append(file)
    named = [file for name in extra for file in (_expand(name) if _is_pattern(name) else [name])]
    return modules, [os.path.abspath(file) for file in named]


def _is_pattern(name):
    return any(symbol in name for symbol in "*?[")


def _expand(pattern):
    # Imported when a pattern is there to be expanded.
    import glob

    return glob.glob(pattern, recursive=True)


def pattern_roots(extra):
    """The directories in which files that match the patterns of `extra` can turn up, and whether
    their subdirectories count as well."""
    roots = []
    for pattern in filter(_is_pattern, extra):
        directory = os.path.dirname(pattern)
        deep = _is_pattern(directory)
        while _is_pattern(directory):
            directory = os.path.dirname(directory)
        roots.append((os.path.abspath(directory), deep))
    return roots


def failure_places(error):
    """Where an import that failed can be cured: the files that were involved, and directories in which
    a module may be missing."""
    files, names, seen = [], [], set()
    pending = [error]
    while pending:
        error = pending.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        pending += [error.__cause__, error.__context__]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            files.append(frame.f_code.co_filename)
        if isinstance(error, SyntaxError) and error.filename:
            files.append(error.filename)
        if isinstance(error, ImportError) and error.name:
            names.append(error.name)
    directories = [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]
    for name in names:
        while name:
            module = sys.modules.get(name)
            directories += [str(entry) for entry in getattr(module, "__path__", ())]
            name = name.rpartition(".")[0]
    return list(filter(os.path.isabs, files)), list(filter(os.path.isdir, directories))


def failure_page(text):
    """An application that answers every request with `text`, why the real one could not be loaded."""
    body = text.encode("utf-8", "backslashreplace")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]

    def app(environ, start_response):
        start_response("500 Internal Server Error", headers[:])
        return [body]

    return app
