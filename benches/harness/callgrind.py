"""Counts a server's user-space instructions under valgrind's callgrind.

Two runs that differ only in the number of requests: what start-up, shutdown and the first
requests cost is in both, so the difference over the difference in requests is one request.
"""

from __future__ import annotations

import re
import socket
import tempfile
from collections import defaultdict
from pathlib import Path

from .machine import Missing, require
from .profiles import Profile
from .servers import Running, Server

#: Seconds for a server under valgrind to start, to answer one request, and to write its profile.
PATIENCE = 120.0

FUNCTION = re.compile(r"(c?)fn=\((\d+)\)(?: (.+))?")
RECURSION = re.compile(r"'\d+$")


class Counts:
    """Instructions of all processes of one run: in total and by function.

    Read from callgrind's own files ("Callgrind Format Specification" of the Valgrind manual):
    callgrind_annotate counts a call twice where the caller was spread over files by inlining.
    """

    def __init__(self, directory: Path) -> None:
        self.total = 0
        self.exclusive = defaultdict(int)
        self.inclusive = defaultdict(int)
        dumps = sorted(directory.glob("callgrind.*"))
        if not dumps:
            raise Missing("callgrind left no profile: the server did not end in an orderly way")
        for dump in dumps:
            self._read(dump)

    def _read(self, dump: Path) -> None:
        names = {}
        here, is_call = "", False
        with dump.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line[0] in "0123456789+-*":
                    # "position cost": of the function itself, or of the call announced just before.
                    cost = int(line.split()[1])
                    self.inclusive[here] += cost
                    if not is_call:
                        self.exclusive[here] += cost
                    is_call = False
                elif line.startswith("calls="):
                    is_call = True
                elif line.startswith("totals:"):
                    self.total += int(line.split()[1])
                else:
                    named = FUNCTION.match(line)
                    if named:
                        called, number, name = named.groups()
                        # A name is spelled out once and is a number from then on.
                        if name:
                            names[number] = name.strip()
                        if not called:
                            here = names[number]


def per_request(server: Server, profile: Profile, counts, environment):
    """(instructions, exclusive by function, inclusive by function), each per request."""
    few, many = (run(server, profile, count, environment) for count in counts)
    step = counts[1] - counts[0]
    exclusive, inclusive = defaultdict(float), {}
    for name in many.exclusive:
        plain = RECURSION.sub("", name)
        exclusive[plain] += (many.exclusive[name] - few.exclusive.get(name, 0)) / step
    for name in many.inclusive:
        plain = RECURSION.sub("", name)
        # Levels of recursion contain each other: the outermost of this path is the largest.
        cost = (many.inclusive[name] - few.inclusive.get(name, 0)) / step
        inclusive[plain] = max(cost, inclusive.get(plain, 0.0))
    return (many.total - few.total) / step, exclusive, inclusive


def run(server: Server, profile: Profile, requests: int, environment) -> Counts:
    """One start under callgrind, `requests` requests one after the other, an orderly end."""
    with tempfile.TemporaryDirectory(prefix="rgunicorn-callgrind-") as directory:
        prefix = [
            require("valgrind", "valgrind"),
            "--tool=callgrind",
            f"--callgrind-out-file={directory}/callgrind.%p",
            "--quiet",
        ]
        wrapped = Server(server.name, lambda *details: [*prefix, *server.command(*details)])
        # The same dict and set orders in every run.
        with Running(wrapped, profile.module, {**environment, "PYTHONHASHSEED": "0"}) as running:
            running.wait_answer(PATIENCE)
            try:
                Client(running.port, profile).ask(requests)
            except OSError as error:
                raise Missing(f"{server.name}, {profile.key}: {error}\n{running.log()}") from None
            running.stop(PATIENCE)
        return Counts(Path(directory))


class Client:
    """One raw connection (or one after the other when the server closes), one request at a time."""

    def __init__(self, port: int, profile: Profile) -> None:
        self.address = ("127.0.0.1", port)
        self.method = b"POST" if profile.body else b"GET"
        headers = {"Host": f"127.0.0.1:{port}", **profile.headers}
        if profile.body:
            headers["Content-Length"] = str(profile.body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.request = self.method + b" / HTTP/1.1\r\n" + lines.encode("ascii") + b"\r\n"
        self.request += b"x" * profile.body
        self.closing = profile.headers.get("Connection") == "close"
        self.connection = None

    def ask(self, times: int) -> None:
        """Raises OSError when an answer is cut short or is not 200."""
        try:
            for _ in range(times):
                if self.connection is None:
                    self.connection = socket.create_connection(self.address, timeout=PATIENCE)
                self.connection.sendall(self.request)
                self._answer()
                if self.closing:
                    self._end()
        finally:
            self._end()

    def _answer(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        if head.split(None, 2)[1] != b"200":
            raise OSError(f"answered {head.splitlines()[0].decode('latin-1')}")
        length = re.search(rb"(?im)^content-length:\s*(\d+)\s*$", head)
        if length is None:
            raise OSError("an answer without Content-Length")
        left = int(length[1]) - len(body)
        while left > 0:
            left -= len(self._more())
        if self.closing and self.connection.recv(1):
            raise OSError("bytes after the end of the answer")

    def _more(self) -> bytes:
        data = self.connection.recv(65536)
        if not data:
            raise OSError("the server closed the connection within an answer")
        return data

    def _end(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
