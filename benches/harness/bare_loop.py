"""CPU of the application alone: bare_loop.py MODULE CALLS prints microseconds per call.

Calls application(environ, start_response) in this process as a server would, with a fresh
environ each time, reads the iterable and closes it. What a server costs beyond this is its own.
"""

import importlib
import io
import sys
import time

PROTOTYPE = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "RAW_URI": "/",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "bare",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "40000",
    "HTTP_HOST": "127.0.0.1:8000",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def start_response(status, headers, exc_info=None):
    return None


def call(application, times):
    for _ in range(times):
        environ = PROTOTYPE.copy()
        environ["wsgi.input"] = io.BytesIO()
        answer = application(environ, start_response)
        for _chunk in answer:
            pass
        if hasattr(answer, "close"):
            answer.close()


def main():
    application = importlib.import_module(sys.argv[1]).application
    calls = int(sys.argv[2])
    call(application, max(1, calls // 4))
    begin = time.process_time()
    call(application, calls)
    print((time.process_time() - begin) / calls * 1e6)


if __name__ == "__main__":
    main()
