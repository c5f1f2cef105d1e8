#!/usr/bin/env python3
"""Reloads of a preloaded application: how long they take, and what becomes of memory. See benches/README.md."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import machine, peers, procfs, report, script, servers

#: Name on the command line -> module in apps/.
MODULES = {"hello": "hello", "flask": "flask_json"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reloads", type=int, default=100, help="how many (default %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="default %(default)s")
    parser.add_argument("--apps", default="hello,flask", help="default %(default)s")
    script.offer_binary(parser)
    options = parser.parse_args()
    if options.reloads < 1 or options.workers < 1:
        parser.error("--reloads and --workers must be at least 1")
    options.apps = script.chosen(parser, "--apps", options.apps, list(MODULES))
    return options


def until(what: str, holds, limit: float = 60.0) -> None:
    deadline = time.perf_counter() + limit
    while not holds():
        if time.perf_counter() > deadline:
            raise machine.Missing(f"waited {limit:.0f} s for {what}")
        time.sleep(0.0005)


def ready(pid: int) -> set:
    """The workers: children of the master that have a stand-by thread, which they start when they can serve."""
    return {child for child in procfs.children(pid) if threads(child) > 1}


def threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def reload(pid: int, workers: int) -> tuple:
    """Seconds from HUP to the first new worker that can serve, and to new ones only."""
    old = set(procfs.children(pid))
    began = time.perf_counter()
    os.kill(pid, signal.SIGHUP)
    until("a new worker", lambda: ready(pid) - old)
    first = time.perf_counter() - began

    def complete():
        now = set(procfs.children(pid))
        return not now & old and len(now) == workers and ready(pid) == now

    until("new workers only", complete)
    return first, time.perf_counter() - began


def measure(server, module: str, environment: dict, options) -> dict:
    rows, took, failures = [], [], 0
    with servers.Running(server, module, environment, options.workers, preload=True) as running:
        start = running.wait_answer(pause=0.0005)
        until("all workers", lambda: len(ready(running.pid)) == options.workers)

        def note(count: int) -> None:
            rows.append([
                str(count),
                f"{rss_kib(running.pid) / 1024:.1f}",
                f"{procfs.pss_kib(running.pid) / 1024:.1f}",
                str(descriptors(running.pid)),
                str(len(procfs.tree(running.pid))),
            ])

        note(0)
        for count in range(1, options.reloads + 1):
            took.append(reload(running.pid, options.workers))
            failures += not servers.answers(running.port, 5.0)
            if count in (1, 10) or count % 50 == 0 or count == options.reloads:
                note(count)
    return {"start": start, "took": took, "rows": rows, "failures": failures}


def restart(server, module: str, environment: dict, options, rounds: int = 5) -> float:
    """Seconds from TERM to the first answer of a server started anew behind a socket that stays open."""
    took = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        running = activated(server, module, environment, options, listener)
        try:
            answer(port)
            for _ in range(rounds):
                began = time.perf_counter()
                running.send_signal(signal.SIGTERM)
                running.wait(30)
                running = activated(server, module, environment, options, listener)
                answer(port)
                took.append(time.perf_counter() - began)
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(30)
    return statistics.median(took)


def activated(server, module: str, environment: dict, options, listener):
    """The server with a socket passed in, as by systemd."""
    command = [server.binary, "-w", str(options.workers), "--preload", f"{module}:application"]
    passing = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&0 </dev/null; exec "$@"'
    settings = {**environment, "PYTHONPATH": str(machine.APPS)}
    return subprocess.Popen(
        ["/bin/sh", "-c", passing, "sh", *command],
        cwd=machine.APPS,
        env=settings,
        stdin=listener,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def answer(port: int) -> None:
    if not servers.answers(port, 30.0):
        raise machine.Missing("the server gave no answer")


def main() -> None:
    options = arguments()
    venv = peers.Venv()
    venv.prepare(set())
    binary = script.binary(options)
    server = servers.rgunicorn(binary)
    times, memory = [], []
    for app in options.apps:
        peers.say(f"{app}: {options.reloads} reloads")
        found = measure(server, MODULES[app], venv.environment(), options)
        again = restart(server, MODULES[app], venv.environment(), options)
        if found["failures"]:
            raise machine.Missing(f"{found['failures']} requests were not answered")
        first = [one * 1000 for one, _ in found["took"]]
        whole = [both * 1000 for _, both in found["took"]]
        times.append([
            app,
            f"{found['start'] * 1000:.0f}",
            f"{again * 1000:.0f}",
            f"{statistics.median(first):.0f}",
            f"{statistics.median(whole):.0f}",
            f"{max(whole):.0f}",
        ])
        memory += [[app, *row] for row in found["rows"]]
    print(report.table(
        ["Application", "start", "restart", "HUP to the first new worker", "HUP to new workers only", "longest"], times
    ))
    print()
    print(report.table(
        ["Application", "reloads", "RSS of the master, MiB", "PSS of all, MiB", "descriptors of the master", "processes"],
        memory,
    ))


if __name__ == "__main__":
    sys.exit(script.run("preload.py", main))
