"""Many HTTP/1.1 connections over one epoll: requests go out, whole answers come back.

Knows just enough HTTP for the answers of `apps/sleeps.py`: they have a Content-Length.
"""

from __future__ import annotations

import re
import select
import socket
import time

LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d+)")
CLOSE = re.compile(rb"(?i)\r\nconnection:[ \t]*close")
#: Answers taken at once: few enough that a request that falls due meanwhile is not late.
BATCH = 32

clock = time.perf_counter


class Connection:
    """A place in the pool; it has a socket while one is open."""

    __slots__ = ("socket", "busy", "unsent", "received", "request")

    def __init__(self) -> None:
        self.socket = None
        self.busy = False
        self.unsent = b""
        self.received = b""
        #: For the user of the wire: which request this connection is busy with.
        self.request = -1


class Wire:
    """The connections to one server.

    `closed`: connections that the server closed, reset or refused; `unannounced`: those among
    them that it had not announced by `Connection: close`. `connects`: connections opened.
    """

    def __init__(self, port: int) -> None:
        # Made before all the sockets: select() takes only descriptors below 1024.
        self.epoll = select.epoll()
        self.address = ("127.0.0.1", port)
        self.open = {}
        self.broken = []
        self.connects = self.closed = self.unannounced = 0
        #: When the answers that `wait` returned last were there.
        self.when = 0.0

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_) -> None:
        for connection in list(self.open.values()):
            self._drop(connection)
        self.epoll.close()

    def send(self, connection: Connection, request: bytes) -> None:
        """Sends a request, over a new connection if there is none."""
        connection.busy = True
        connection.received = b""
        connection.unsent = request
        try:
            if connection.socket is None:
                self._connect(connection)
            self._write(connection)
        except OSError:
            self.broken.append((connection, *self._ended(connection)))

    def wait(self, seconds: float) -> list:
        """Up to `seconds` until something happens: [(connection, status, body)], status 0 if it broke."""
        if seconds > 0 and not self.broken:
            # epoll's own timeout counts whole milliseconds; select's counts microseconds.
            select.select((self.epoll,), (), (), seconds)
        events = self.epoll.poll(0, BATCH)
        self.when = clock()
        finished, self.broken = self.broken, []
        for descriptor, _ in events:
            connection = self.open.get(descriptor)
            if connection is not None:
                answer = self._progress(connection)
                if answer is not None:
                    finished.append((connection, *answer))
        return finished

    def _connect(self, connection: Connection) -> None:
        connection.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open[connection.socket.fileno()] = connection
        self.connects += 1
        connection.socket.connect_ex(self.address)
        self.epoll.register(connection.socket, select.EPOLLIN)

    def _write(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            # Not connected yet. (Over loopback it usually is at once.)
            self.epoll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)
            return
        connection.unsent = connection.unsent[sent:]

    def _progress(self, connection: Connection):
        """What an event brought: (status, body) of a request that is over, or None."""
        try:
            if connection.unsent:
                self._write(connection)
                if connection.unsent:
                    return None
                self.epoll.modify(connection.socket, select.EPOLLIN)
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            return self._ended(connection)
        if not connection.busy:
            # What a server says before it closes an idle connection is nobody's answer.
            return None
        connection.received += data
        return self._answer(connection)

    def _answer(self, connection: Connection):
        head, end, body = connection.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return None
        connection.busy = False
        if CLOSE.search(head) or head.startswith(b"HTTP/1.0"):
            self.closed += 1
            self._drop(connection)
        status = head[9:12]
        return (int(status) if status.isdigit() else 0), body

    def _ended(self, connection: Connection):
        """The server closed, reset or refused the connection: a request on it is lost."""
        lost = connection.busy
        self.closed += 1
        self.unannounced += 1
        self._drop(connection)
        return (0, b"") if lost else None

    def _drop(self, connection: Connection) -> None:
        connection.busy = False
        connection.unsent = b""
        if connection.socket is not None:
            self.open.pop(connection.socket.fileno(), None)
            # Closing takes it out of the epoll as well.
            connection.socket.close()
            connection.socket = None
