"""When requests arrive, how long each needs, and what an ideal single queue makes of them."""

from __future__ import annotations

import heapq
import math
import random
import runpy
from dataclasses import dataclass

from .machine import APPS

SLEEPS = runpy.run_path(str(APPS / "sleeps.py"))["SLEEPS"]
FAST, SLOW = SLEEPS["/fast"], SLEEPS["/slow"]
#: One request in so many is slow: 5 %.
BLOCK = 20
#: At least so many seconds at the start of a schedule are sent but not counted: caches warm up.
WARM_UP = 1.0
KINDS = ("even", "poisson")
#: Share of the interval between even arrivals by which each is moved at random. With this, two at
#: 250/s are never closer than the fast request takes: an ideal queue answers all of them at once.
JITTER = 0.5


@dataclass(frozen=True)
class Load:
    """So many requests a second, arriving `even`ly with jitter or as a `poisson` process."""

    rate: float
    arrivals: str
    utilisation: float

    @property
    def title(self) -> str:
        kind = {"even": "even arrivals with jitter", "poisson": "Poisson arrivals"}[self.arrivals]
        return f"{self.rate:.0f} requests/s, {kind} ({self.utilisation:.0%} of the slots' time)"


@dataclass(frozen=True)
class Schedule:
    """Arrival in seconds from the start and slowness of each request; those before `counted` are warm-up."""

    due: list
    slow: list
    counted: int

    @property
    def service(self) -> list:
        return [SLOW if slow else FAST for slow in self.slow]

    def select(self, values, fast_only: bool) -> list:
        """The counted values, sorted."""
        rows = range(self.counted, len(self.due))
        return sorted(values[row] for row in rows if not (fast_only and self.slow[row]))


def mean_service() -> float:
    return (FAST * (BLOCK - 1) + SLOW) / BLOCK


def utilisation_of(rate: float, slots: int) -> float:
    return rate * mean_service() / slots


def rate_for(utilisation: float, slots: int) -> float:
    return utilisation * slots / mean_service()


def schedule(load: Load, seconds: float, seed: int, connections: int) -> Schedule:
    """The same for every server: it depends on the arguments only.

    `seconds` are counted, after a warm-up in which each of the `connections` gets a request.
    """
    warm_up = max(WARM_UP, connections / load.rate)
    chance = random.Random(f"{seed} {load.rate} {load.arrivals}")
    make = {"even": _even, "poisson": _poisson}[load.arrivals]
    due, slow = make(load.rate, warm_up + seconds, chance)
    return Schedule(due, slow, sum(moment < warm_up for moment in due))


def _even(rate: float, seconds: float, chance: random.Random):
    """One request in the first part of each interval, and one slow request in each block.

    Its place in the block wavers by a few requests only. So slow ones come at a steady pace, and
    how many are under way at once is bounded; yet they do not always meet the same connections,
    as they would if their distance shared a factor with the number of connections.
    """
    count = int(rate * seconds)
    due = [(number + JITTER * chance.random()) / rate for number in range(count)]
    slow = [False] * count
    for block in range(0, count, BLOCK):
        place = block + BLOCK // 2 + chance.randint(-3, 3)
        if place < count:
            slow[place] = True
    return due, slow


def _poisson(rate: float, seconds: float, chance: random.Random):
    due, slow, now = [], [], chance.expovariate(rate)
    while now < seconds:
        due.append(now)
        slow.append(chance.random() < 1 / BLOCK)
        now += chance.expovariate(rate)
    return due, slow


def ideal(plan: Schedule, slots: int, connections: int, fixed: bool) -> list:
    """Latency of each request if `slots` servers without any cost took them from one queue.

    The queue is first come, first served. With `fixed` connections a request comes when it has
    arrived and the one before it on its connection is answered: no server can know of it earlier.
    """
    count, service = len(plan.due), plan.service
    stride = connections if fixed else count
    waiting = [(plan.due[row], row) for row in range(min(stride, count))]
    heapq.heapify(waiting)
    idle_from = [0.0] * slots
    latency = [0.0] * count
    while waiting:
        ready, row = heapq.heappop(waiting)
        end = max(ready, idle_from[0]) + service[row]
        heapq.heapreplace(idle_from, end)
        latency[row] = end - plan.due[row]
        if row + stride < count:
            heapq.heappush(waiting, (max(plan.due[row + stride], end), row + stride))
    return latency


def percentile(ordered, share: float) -> float:
    """The smallest of the sorted values that at least `share` of them do not exceed."""
    if not ordered:
        return math.nan
    # The product may come out a hair above the whole number it stands for.
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
