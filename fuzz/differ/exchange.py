"""One connection: bytes out, answers in, as comparable facts."""

import base64
import json
import select
import socket
import time
from dataclasses import dataclass, field

BOUND = 15.0  # seconds until an exchange counts as hung
PAUSE = 0.003  # seconds between the pieces of a request


@dataclass
class Answer:
    version: str
    status: int
    reason: str
    connection: str
    framing: str  # "length N", "chunked", "none" or "close"
    seen: "dict | None"  # what the application saw, if it was asked
    body: bytes

    def page(self):
        """The text of an error page that the server wrote itself."""
        start, _, rest = self.body.partition(b"</h1>\n    ")
        return rest.partition(b"\n  </body>")[0].decode("latin-1") if start else ""


@dataclass
class Outcome:
    answers: list = field(default_factory=list)
    interim: int = 0  # answers "100 Continue"
    end: str = "closed"  # or "reset", "hung", "open" (the server waited for more)
    early: int = 0  # if it is "open": the answers that had come by then
    rest: bytes = b""  # what is no answer

    def left_open(self):
        """An answer said that the connection ends, and it did not."""
        return self.early > 0 and self.answers[self.early - 1].connection == "close"


def run(address, pieces, quiet=None):
    """Sends the pieces and reads all that comes back.

    Without `quiet` the sending side is closed after the last piece, so that nothing is left to wait
    for. Else it stays open until the server closes, or has sent nothing for `quiet` seconds ("open").
    """
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as connection:
        connection.settimeout(BOUND)
        connection.connect(address)
        if kind == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(PAUSE)
                connection.sendall(piece)
            if quiet is None:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            # It has closed already. What it said before can still be read.
            pass
        data, end, early = _read(connection, quiet)
    outcome = _parse(data)
    outcome.end = end
    if end == "open":
        outcome.early = len(_parse(data[:early]).answers)
    return outcome


def _read(connection, quiet):
    """What came, how it ended, and how much of it came while the sending side was open."""
    data = bytearray()
    early = 0
    deadline = time.monotonic() + BOUND
    waited = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return bytes(data), "hung", early
        if not select.select([connection], [], [], left if quiet is None else min(left, quiet))[0]:
            if quiet is not None and not waited:
                # Still open. Now end it, and read what that brings.
                waited = True
                early = len(data)
                quiet = None
                try:
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            continue
        try:
            chunk = connection.recv(65536)
        except OSError:
            return bytes(data), "reset", early
        if not chunk:
            return bytes(data), "open" if waited else "closed", early
        data += chunk


def _parse(data):
    outcome = Outcome()
    while data:
        head, mark, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if not mark or len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
            break
        status = int(words[1])
        if 100 <= status < 200:
            outcome.interim += 1
            data = rest
            continue
        headers = [tuple(line.split(": ", 1)) for line in lines[1:] if ": " in line]
        values = {name.lower(): value for name, value in headers}
        seen = values.get("x-seen")
        if seen is not None:
            seen = json.loads(base64.b64decode(seen))
        body, framing, rest = _body(status, values, seen, rest)
        if body is None:
            break
        reason = words[2] if len(words) > 2 else ""
        answer = Answer(words[0], status, reason, values.get("connection", ""), framing, seen, body)
        outcome.answers.append(answer)
        data = rest
    outcome.rest = data
    return outcome


def _body(status, values, seen, rest):
    """Body, framing and what follows; a body of None if it is not all there."""
    bodiless = status in (204, 304) or (seen is not None and seen["REQUEST_METHOD"] == "HEAD")
    if values.get("transfer-encoding") == "chunked":
        return _chunks(rest) if not bodiless else (b"", "chunked", rest)
    if "content-length" in values:
        length = int(values["content-length"])
        framing = f"length {length}"
        if bodiless:
            return b"", framing, rest
        return (rest[:length] if len(rest) >= length else None), framing, rest[length:]
    return (b"", "none", rest) if bodiless else (rest, "close", b"")


def _chunks(rest):
    body = b""
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return None, "chunked", rest
        size = int(line, 16)
        body += rest[:size]
        if rest[size : size + 2] != b"\r\n":
            return None, "chunked", rest
        rest = rest[size + 2 :]
        if size == 0:
            return body, "chunked", rest
