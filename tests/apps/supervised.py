"""Says when it is loaded and lets the tests stall, crash and count it."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import unquote


def note(text):
    os.write(2, f"note: {text}\n".encode())


def pid(query):
    return str(os.getpid())


def sleep(query):
    """Takes the given number of seconds."""
    note(f"sleeping in {os.getpid()}")
    time.sleep(float(query))
    return str(os.getpid())


def deaf_sleep(query):
    """The same, without noticing the signal that is meant to end it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGABRT, signal.SIGTERM, signal.SIGQUIT})
    return sleep(query)


def hog(query):
    """Leaves a thread behind that never lets go of the interpreter lock, once it has it."""
    library = ctypes.PyDLL(None)
    threading.Timer(0.05, library.sleep, [600]).start()
    return str(os.getpid())


def wait(query):
    """Answers once the other end of a named pipe has been opened and closed."""
    note(f"waiting in {os.getpid()}")
    with open(unquote(query)) as pipe:
        pipe.read()
    return str(os.getpid())


def load(query):
    """Leaves a trace of having begun before it answers."""
    with open(os.environ["BEGUN"], "a") as file:
        file.write(f"{os.getpid()} {query}\n")
    return str(os.getpid())


def orphan(query):
    """Leaves a process to whoever takes orphans; it ends with status 7 when the named pipe is closed."""
    pipe = unquote(query)
    script = 'while read line; do :; done < "$0"; exit 7'
    pid = os.fork()
    if pid == 0:
        child = subprocess.Popen(["sh", "-c", script, pipe])
        os.write(2, f"note: orphan {child.pid}\n".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return "left"


kept = []


def grow(query):
    """Keeps so many mebibytes of memory."""
    kept.append(bytearray(int(query) << 20))
    return str(os.getpid())


def leave(query):
    os._exit(int(query))


def segfault(query):
    return str(ctypes.string_at(0))


def abort(query):
    os.abort()


def fatal(query):
    ctypes.pythonapi.Py_FatalError(b"made by the test")


def printed(query):
    print("printed by the application", flush=True)
    return "ok"


def variable(query):
    return repr(os.environ.get(query))


def titles(query):
    return repr((sys.argv[0], sys.executable))


def app(environ, start_response):
    answer = globals()[environ["PATH_INFO"].strip("/")](environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


note(f"loaded in {os.getpid()}")
