"""A 10 MiB file through wsgi.file_wrapper: a server may send it without reading it into Python.

PEP 3333 leaves file_wrapper to the server; for one without it the standard library's is used.
"""

import os
from wsgiref.util import FileWrapper

SIZE = 10 * 1024 * 1024
BLOCK = 64 * 1024
#: compare.py makes the file and names it here.
PATH = os.environ.get("BENCH_FILE", "")
HEADERS = [("Content-Type", "application/octet-stream"), ("Content-Length", str(SIZE))]


def application(environ, start_response):
    start_response("200 OK", HEADERS)
    return environ.get("wsgi.file_wrapper", FileWrapper)(open(PATH, "rb"), BLOCK)
