"""What benches/dispatch.py asks for: answers that take known times, each naming the process that gave it."""

import os
import time

#: Path -> seconds the request holds its Python slot. Any other path is answered at once.
SLEEPS = {"/fast": 0.002, "/slow": 0.2}


def application(environ, start_response):
    seconds = SLEEPS.get(environ["PATH_INFO"])
    if seconds:
        time.sleep(seconds)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
