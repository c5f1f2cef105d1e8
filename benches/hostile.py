#!/usr/bin/env python3
"""What slow clients and large bodies cost rgunicorn.

One sync worker holds thousands of slow heads, slow bodies, slow readers and idle connections while a
normal client measures its latency; then bodies of 2 GiB go through it both ways. Loopback only, and
bounded. See benches/README.md.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

from harness.machine import Cores, Missing, describe
from harness.script import binary, offer_binary, run
from harness.servers import answers, free_port

APPS = Path(__file__).resolve().parent / "apps"
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    offer_binary(parser)
    parser.add_argument("--each", type=int, default=2000, help="connections of each kind")
    parser.add_argument("--seconds", type=float, default=15, help="length of each latency measurement")
    parser.add_argument("--gib", type=float, default=2, help="size of the large bodies")
    options = parser.parse_args()
    path = binary(options)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(describe())
    cores = Cores.choose()
    with Worker(path, cores) as worker:
        os.sched_setaffinity(0, cores.load)
        crowd(worker, options.each, options.seconds)
        bodies(worker, int(options.gib * (1 << 30)) // MIB * MIB)


class Worker:
    """A server with one sync worker, and what can be told of its memory."""

    def __init__(self, binary, cores: Cores) -> None:
        self.port = free_port()
        command = [binary, "-b", f"127.0.0.1:{self.port}", "-w", "1", "--worker-connections", "20000"]
        command += ["--chdir", str(APPS), "--log-level", "error", "--timeout", "0", "hostile:application"]
        with cores.children_on({cores.server}):
            self.process = subprocess.Popen(command)
        end = time.monotonic() + 10
        while not answers(self.port, 1):
            if time.monotonic() > end:
                raise Missing("the server does not answer")
            time.sleep(0.05)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self.pid = int(children.split()[0])

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory(self, field: str = "VmRSS") -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(30)
        client.connect(("127.0.0.1", self.port))
        return client


def crowd(worker: Worker, each: int, seconds: float) -> None:
    alone = latencies(worker, seconds)
    kinds = {
        "slow head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 0),
        "slow body": (b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 0),
        "slow reader of 1 MiB": (b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", 4096),
        "idle after a request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    }
    print("\n| held connections | worker memory each |\n| --- | ---: |")
    held = {}
    for kind, (opening, buffer) in kinds.items():
        before = worker.memory()
        held[kind] = [worker.connect(buffer) for _ in range(each)]
        for client in held[kind]:
            client.sendall(opening)
        latencies(worker, 1)
        cost = (worker.memory() - before) / each
        print(f"| {each} {kind} | {cost / 1024:.2f} KiB |", flush=True)
    over = threading.Event()
    dripping = threading.Thread(target=drip, args=(held, over))
    dripping.start()
    among = latencies(worker, seconds)
    over.set()
    dripping.join()
    alive = sum(len(clients) for kind, clients in held.items() if "idle" not in kind)
    print(f"\nSlow connections held throughout: {alive}; idle ones are closed after `keepalive`.")
    print("\n| a normal client | requests | failed | p50 ms | p99 ms |\n| --- | ---: | ---: | ---: | ---: |")
    for name, (times, failed) in (("alone", alone), ("among them", among)):
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(f"| {name} | {len(times)} | {failed} | {p50 * 1000:.3f} | {p99 * 1000:.3f} |")
    ratio = statistics.quantiles(among[0], n=100)[98] / statistics.quantiles(alone[0], n=100)[98]
    print(f"\np99 among them / alone: {ratio:.2f}", flush=True)
    for clients in held.values():
        for client in clients:
            client.close()


def drip(held: dict, over: threading.Event) -> None:
    """A byte per second and connection, sent or taken."""
    while not over.wait(1):
        for kind, clients in held.items():
            for client in clients:
                try:
                    if "reader" in kind:
                        client.recv(1)
                    elif "idle" not in kind:
                        client.send(b"x")
                except OSError:
                    continue


def latencies(worker: Worker, seconds: float) -> tuple:
    """Times of requests, half of them over a kept connection, half over new ones; failures."""
    times, failed = [], 0
    kept = worker.connect()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for client, closing in ((kept, b""), (None, b"Connection: close\r\n")):
            start = time.perf_counter()
            try:
                client = client or worker.connect()
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + closing + b"\r\n")
                answer = client.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    failed += 1
                if closing:
                    client.close()
            except OSError:
                failed += 1
            times.append(time.perf_counter() - start)
            time.sleep(0.001)
    return times, failed


def bodies(worker: Worker, size: int) -> None:
    print("\n| body | size MiB | seconds | growth of the worker's peak memory MiB |\n| --- | ---: | ---: | ---: |")
    for name, transfer in (
        ("upload with Content-Length", lambda: upload(worker, size, chunked=False)),
        ("upload in chunks", lambda: upload(worker, size, chunked=True)),
        ("download by file_wrapper", lambda: download(worker, f"/file?{size}", size)),
        ("download by generator", lambda: download(worker, f"/generate?{size}", size)),
    ):
        worker.forget_peak()
        before = worker.memory("VmHWM")
        start = time.monotonic()
        transfer()
        seconds = time.monotonic() - start
        growth = (worker.memory("VmHWM") - before) / MIB
        print(f"| {name} | {size // MIB} | {seconds:.1f} | {growth:.1f} |", flush=True)


def upload(worker: Worker, size: int, chunked: bool) -> None:
    block = bytes(MIB)
    with worker.connect() as client:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        client.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framing + b"\r\n\r\n")
        for _ in range(size // MIB):
            client.sendall(b"%x\r\n%b\r\n" % (MIB, block) if chunked else block)
        if chunked:
            client.sendall(b"0\r\n\r\n")
        client.settimeout(120)
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    if not answer.endswith(b"\r\n\r\n%d" % size):
        raise Missing(f"the upload was answered {answer[:200]!r}")


def download(worker: Worker, path: str, size: int) -> None:
    with worker.connect() as client:
        client.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        left = size
        buffer = bytearray(MIB)
        while count := client.recv_into(buffer):
            left -= count
    if left != 0:
        raise Missing(f"the download is off by {left} bytes")


if __name__ == "__main__":
    raise SystemExit(run("hostile.py", main))
