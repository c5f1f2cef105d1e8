"""The load: requests at fixed times whatever the server does, or always one on every connection."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from .arrivals import Schedule
from .wire import Connection, Wire, clock

FAST_REQUEST = b"GET /fast HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SLOW_REQUEST = b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
#: Seconds after the last request until those without an answer count as lost.
DRAIN = 10.0


@dataclass
class Outcome:
    """What came of an open-loop run.

    `latency`: seconds from the intended start per request, infinite if it was never answered.
    `late`: seconds by which the generator itself missed the intended start of each request
    that had a connection. `held`: requests that waited in the client for a connection.
    `lost`: without an answer; `failed`: with another status than 200. `connects`, `closed` and
    `unannounced` as in Wire. `cpu`: share of a core the generator used; `displaced`: share of the
    time it was ready to run but another process had the core.
    """

    latency: list
    late: list = field(default_factory=list)
    held: int = 0
    lost: int = 0
    failed: int = 0
    connects: int = 0
    closed: int = 0
    unannounced: int = 0
    cpu: float = 0.0
    displaced: float = 0.0


class Rotating:
    """A request takes the connection that has been free longest, or waits for the next free one."""

    def __init__(self, pool) -> None:
        self.free = deque(pool)
        self.waiting = deque()

    def take(self, request: int):
        """The connection for a request, or None if it has to wait here."""
        if self.free:
            return self.free.popleft()
        self.waiting.append(request)
        return None

    def release(self, connection: Connection):
        """The request that gets the connection next, or None."""
        if self.waiting:
            return self.waiting.popleft()
        self.free.append(connection)
        return None


class Fixed:
    """Request k goes over connection k modulo their number, and waits for its turn there."""

    def __init__(self, pool) -> None:
        self.pool = pool
        self.idle = dict.fromkeys(pool, True)
        self.waiting = {connection: deque() for connection in pool}

    def take(self, request: int):
        connection = self.pool[request % len(self.pool)]
        if self.idle[connection]:
            self.idle[connection] = False
            return connection
        self.waiting[connection].append(request)
        return None

    def release(self, connection: Connection):
        if self.waiting[connection]:
            return self.waiting[connection].popleft()
        self.idle[connection] = True
        return None


@contextlib.contextmanager
def undisturbed():
    """No garbage collection: it would stop the generator for milliseconds."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def displacement() -> float:
    """Seconds that this process has waited for a core so far."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


def open_loop(port: int, plan: Schedule, connections: int, fixed: bool) -> Outcome:
    """Sends each request at its time over `connections` kept connections, opened on first use."""
    due, requests = plan.due, [SLOW_REQUEST if slow else FAST_REQUEST for slow in plan.slow]
    count = len(due)
    outcome = Outcome([math.inf] * count)
    latency, late = outcome.latency, outcome.late
    pool = [Connection() for _ in range(connections)]
    binding = Fixed(pool) if fixed else Rotating(pool)
    upcoming, unanswered = 0, count
    with Wire(port) as wire, undisturbed():
        cpu, displaced, start = time.process_time(), displacement(), clock() + 0.05
        last = due[-1] + DRAIN
        while unanswered:
            now = clock() - start
            if now > last:
                break
            while upcoming < count and due[upcoming] <= now:
                connection = binding.take(upcoming)
                if connection is None:
                    outcome.held += 1
                else:
                    connection.request = upcoming
                    wire.send(connection, requests[upcoming])
                    now = clock() - start
                    late.append(now - due[upcoming])
                upcoming += 1
            until = due[upcoming] if upcoming < count else last
            for connection, status, _ in wire.wait(until - now):
                unanswered -= 1
                if status:
                    latency[connection.request] = wire.when - start - due[connection.request]
                    outcome.failed += status != 200
                else:
                    outcome.lost += 1
                request = binding.release(connection)
                if request is not None:
                    connection.request = request
                    wire.send(connection, requests[request])
        elapsed = clock() - start
        outcome.cpu = (time.process_time() - cpu) / elapsed
        outcome.displaced = (displacement() - displaced) / elapsed
        outcome.lost += unanswered
        outcome.connects, outcome.closed = wire.connects, wire.closed
        outcome.unannounced = wire.unannounced
    return outcome


@dataclass
class Saturation:
    """What came of a closed-loop run: counted answers by process and, in their order, by connection.

    `longest`: seconds that the slowest answer took. It and the others, which are those of
    Outcome, are over the whole run.
    """

    seconds: float
    workers: Counter = field(default_factory=Counter)
    connections: list = field(default_factory=list)
    longest: float = 0.0
    lost: int = 0
    failed: int = 0
    closed: int = 0
    unannounced: int = 0
    cpu: float = 0.0


def closed_loop(port: int, connections: int, warm_up: float, seconds: float, drain: float = DRAIN):
    """One fast request after the other on every connection; those answered after `warm_up` are counted."""
    result = Saturation(seconds, connections=[0] * connections)
    pool = [Connection() for _ in range(connections)]
    with Wire(port) as wire, undisturbed():
        cpu, start = time.process_time(), clock()
        begin, end = start + warm_up, start + warm_up + seconds
        sent = [start] * connections
        for number, connection in enumerate(pool):
            connection.request = number
            wire.send(connection, FAST_REQUEST)
        unanswered = connections
        while unanswered and clock() < end + drain:
            for connection, status, body in wire.wait(0.1):
                unanswered -= 1
                if status == 200 and begin <= wire.when < end:
                    result.workers[body] += 1
                    result.connections[connection.request] += 1
                result.lost += status == 0
                result.failed += status not in (0, 200)
                result.longest = max(result.longest, wire.when - sent[connection.request])
                if wire.when < end:
                    sent[connection.request] = wire.when
                    wire.send(connection, FAST_REQUEST)
                    unanswered += 1
        result.cpu = (time.process_time() - cpu) / (clock() - start)
        result.lost += unanswered
        result.closed, result.unannounced = wire.closed, wire.unannounced
    return result
