"""Memory of four Flask workers, and the time from exec to the first answer."""

from __future__ import annotations

import http.client
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from . import procfs
from .machine import Cores
from .peers import say
from .servers import Running, Server

WORKERS = 4
#: Answers every worker must have given before its memory counts, and the seconds to get them.
ANSWERS_EACH = 50
WARM_UP_LIMIT = 20.0
CLIENTS = 16


def memory(servers, rounds: int, environment) -> list:
    """Rows (server, preload, median PSS of the tree in MiB, fewest workers that answered)."""
    cases = [(server, False) for server in servers if server.pooled]
    cases += [(server, True) for server in servers if server.preloads]
    found = {case: [] for case in cases}
    for turn in range(rounds):
        for server, preload in cases:
            sample = pss(server, preload, environment)
            found[(server, preload)].append(sample)
            say(
                f"memory {turn + 1}/{rounds} {server.name:17} preload={preload!s:5} "
                f"{sample[0]:7.1f} MiB ({sample[1]} workers answered)"
            )
    return [
        (server, preload, statistics.median(mib for mib, _ in samples), min(seen for _, seen in samples))
        for (server, preload), samples in found.items()
    ]


def pss(server: Server, preload: bool, environment):
    """(MiB, number of workers that answered) after warm-up of one fresh start."""
    with Running(server, "flask_json", environment, workers=WORKERS, preload=preload) as running:
        running.wait_answer()
        seen = warm_up(running.port)
        return procfs.pss_kib(running.pid) / 1024, len(seen)


def warm_up(port: int) -> dict:
    """Requests on new connections until every worker has given its share; pid -> answers."""
    seen = {}
    deadline = time.monotonic() + WARM_UP_LIMIT

    def ask(_):
        return [answer for answer in (get(port, "/pid"), get(port, "/")) if answer.isdigit()]

    with ThreadPoolExecutor(CLIENTS) as clients:
        while time.monotonic() < deadline:
            for answers in clients.map(ask, range(CLIENTS * 8)):
                for pid in answers:
                    seen[pid] = seen.get(pid, 0) + 1
            if len(seen) >= WORKERS and min(seen.values()) >= ANSWERS_EACH:
                break
    return seen


def get(port: int, path: str) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=WARM_UP_LIMIT)
    try:
        client.request("GET", path, headers={"Connection": "close"})
        return client.getresponse().read().decode("ascii", "replace").strip()
    except (OSError, http.client.HTTPException):
        # Shows as a worker that did not answer.
        return ""
    finally:
        client.close()


def start_up(servers, runs: int, environment, cores: Cores) -> list:
    """Rows (server, module, median milliseconds, all of them); one worker, on the server's core."""
    rows = {(server, module): [] for module in ("hello", "flask_json") for server in servers}
    # One run more than counted: the first fills the page cache and writes the .pyc files.
    for turn in range(runs + 1):
        for server, module in rows:
            with cores.children_on({cores.server}):
                running = Running(server, module, environment)
            with running, cores.children_on(cores.load):
                elapsed = running.wait_answer(pause=0.0005) * 1000
            if turn:
                rows[(server, module)].append(elapsed)
    for (server, module), times in rows.items():
        say(f"start-up {server.name:17} {module:10} {statistics.median(times):7.1f} ms")
    return [(server, module, statistics.median(times), times) for (server, module), times in rows.items()]
