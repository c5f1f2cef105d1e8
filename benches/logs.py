#!/usr/bin/env python3
"""What logs cost: the hello profile with each kind of log, in one run. See benches/README.md."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

from harness import machine, peers, profiles, report, script, servers, throughput

#: A `logconfig` as deployments have it: the access log through a handler of the standard library.
LOGCONFIG = """
[loggers]
keys=root,error,access
[handlers]
keys=console,access
[formatters]
keys=plain
[logger_root]
handlers=console
[logger_error]
qualname=gunicorn.error
propagate=0
level=INFO
handlers=console
[logger_access]
qualname=gunicorn.access
propagate=0
level=INFO
handlers=access
[handler_console]
class=StreamHandler
formatter=plain
args=(sys.stderr,)
[handler_access]
class=FileHandler
formatter=plain
args=('{path}',)
[formatter_plain]
format=%(message)s
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="samples of each (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of load per sample (default %(default)s)")
    script.offer_binary(parser)
    parser.add_argument("--without-gunicorn", action="store_true", help="only rgunicorn")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    return options


def with_flags(server, name: str, flags):
    """The same server with more arguments."""

    def command(port, module, workers, preload):
        *start, application = server.command(port, module, workers, preload)
        return [*start, *flags, application]

    return servers.Server(name, command, binary=server.binary)


def contestants(binary: str, gunicorn, directory: Path) -> list:
    log = str(directory / "access.log")
    config = directory / "log.conf"
    config.write_text(LOGCONFIG.format(path=log))
    kinds = {
        "no access log": [],
        "access log to a file": ["--access-logfile", log],
        "access log to a file, JSON": ["--access-logfile", log, "--access-logformat", "json"],
        "access log by `logconfig` to a file": ["--log-config", str(config)],
    }
    ours = servers.rgunicorn(binary)
    found = [with_flags(ours, f"rgunicorn, {kind}", flags) for kind, flags in kinds.items()]
    if gunicorn:
        for kind in ("no access log", "access log to a file", "access log by `logconfig` to a file"):
            found.append(with_flags(gunicorn, f"{gunicorn.name}, {kind}", kinds[kind]))
    return found


def table(results, contestants) -> str:
    """Shares are medians over the rounds: machines have slow minutes."""
    head = ["Server", "requests/s", "CPU us/request", "of its rate without a log", "errors"]
    rows, base = [], None
    for server in contestants:
        samples = results.of("hello", server.name)
        if "no access log" in server.name:
            base = samples
        if not samples:
            failure = results.failures.get(("hello", server.name), "")
            rows.append([server.name, failure, "", "", ""])
            continue
        shares = [mine.rate / other.rate for mine, other in zip(samples, base or [])]
        share = f"{statistics.median(shares):.0%}" if shares else ""
        rate = report.number(results.rate("hello", server.name), 0)
        cpu = report.number(results.cpu("hello", server.name))
        rows.append([server.name, rate, cpu, share, str(results.errors("hello", server.name))])
    return report.table(head, rows)


def main() -> None:
    options = arguments()
    machine.require("wrk", "wrk")
    cores = machine.Cores.choose()
    venv = peers.Venv()
    venv.prepare(set())
    binary = script.binary(options)
    gunicorn = None if options.without_gunicorn else servers.peers(venv)["gthread"]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rgunicorn-bench-")))
        all_of_them = contestants(binary, gunicorn, directory)
        results = throughput.run(
            all_of_them,
            [profiles.BY_KEY["hello"]],
            options.rounds,
            options.seconds,
            venv,
            venv.environment(),
            cores,
        )
    print(f"{machine.describe()}, Python {sys.version.split()[0]}; medians of {options.rounds} rounds "
          f"of {options.seconds} s\n")
    print(table(results, all_of_them))


if __name__ == "__main__":
    sys.exit(script.run("logs.py", main))
