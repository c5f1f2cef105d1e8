"""An application that forks; the path chooses how."""

import multiprocessing
import os
import time
from urllib.parse import unquote


def answer(start_response, body):
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def pid(environ, start_response):
    return answer(start_response, b"%d" % os.getpid())


def terminated(environ, start_response):
    """A child of multiprocessing is ended by TERM, as Process.terminate does."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join(10)
    code = process.exitcode
    if code is None:
        process.kill()
    return answer(start_response, str(code).encode())


def pooled(environ, start_response):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return answer(start_response, repr(pool.map(abs, [-1, -2, -3])).encode())


def outlived(environ, start_response):
    """A child lives on until the named pipe is opened and closed by somebody else."""
    child = os.fork()
    if child == 0:
        try:
            with open(unquote(environ["QUERY_STRING"])) as pipe:
                pipe.read()
        finally:
            os._exit(0)
    return answer(start_response, b"%d" % child)


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
