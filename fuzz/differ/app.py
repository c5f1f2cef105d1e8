"""A WSGI application that says what it saw, in a header, so that answers to HEAD say it too.

The query string decides what else it does: `unread` leaves the body alone, `stream` sends a body of
unknown length, `none` a 204.
"""

import base64
import hashlib
import json
import os

# What differs between two servers, or two connections, by its nature.
PRIVATE = {"SERVER_SOFTWARE"}


def app(environ, start_response):
    query = environ["QUERY_STRING"]
    seen = {
        key: value
        for key, value in environ.items()
        if isinstance(value, str) and key not in PRIVATE
    }
    if "PROXY_PROTOCOL" not in seen:
        # Each connection has a port of its own.
        seen.pop("REMOTE_PORT", None)
    if seen.get("REMOTE_ADDR", "-"):
        # Each server has a port of its own; on a unix socket it is what the client named.
        del seen["SERVER_PORT"]
    if seen["SERVER_NAME"].startswith("/"):
        # The path of a unix socket: the client named no host.
        seen["SERVER_NAME"] = os.path.basename(seen["SERVER_NAME"])
    if "unread" in query:
        seen["body"] = "unread"
    else:
        body = environ["wsgi.input"].read()
        seen["body"] = f"{len(body)} {hashlib.sha256(body).hexdigest()[:16]}"
    text = base64.b64encode(json.dumps(seen).encode()).decode()
    headers = [("Content-Type", "text/plain"), ("X-Seen", text)]
    if "none" in query:
        start_response("204 No Content", headers)
        return []
    if "stream" in query:
        start_response("200 OK", headers)
        return [b"o", b"", b"k"]
    start_response("200 OK", headers + [("Content-Length", "2")])
    return [b"ok"]
