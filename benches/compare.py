#!/usr/bin/env python3
"""Compares rgunicorn with gunicorn, granian, uwsgi and bjoern in one run. See benches/README.md."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import shlex
import sys
import tempfile
from pathlib import Path

from harness import footprint, machine, pair, peers, profiles, report, script, servers, throughput

FOOTPRINTS = ("memory", "startup")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["rgunicorn", *servers.DISTRIBUTION]
    keys = [*profiles.BY_KEY, *FOOTPRINTS]
    parser.add_argument("--servers", default=",".join(names), help="which of: %(default)s")
    parser.add_argument("--profiles", default=",".join(keys), help="which of: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of load per sample (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of one second: a smoke test")
    script.offer_binary(parser)
    parser.add_argument(
        "--pair",
        metavar="PATH",
        help="compare our binary with this other rgunicorn only, alternately, on every profile",
    )
    parser.add_argument("--write", action="store_true", help="put the report into docs/benchmarks.md")
    options = parser.parse_args()
    options.servers = script.chosen(parser, "--servers", options.servers, names)
    options.profiles = script.chosen(parser, "--profiles", options.profiles, keys)
    if options.quick:
        options.rounds = options.seconds = 1
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    if options.pair and options.write:
        parser.error("--write is for the comparison with the peers, not for --pair")
    if options.pair and set(options.profiles) <= set(FOOTPRINTS):
        parser.error("--pair compares CPU per request: choose at least one profile of load")
    return options


@contextlib.contextmanager
def served_file():
    """The file of the file_wrapper profile, gone afterwards."""
    with tempfile.NamedTemporaryFile(prefix="rgunicorn-bench-") as file:
        file.write(os.urandom(1024 * 1024) * 10)
        file.flush()
        yield file.name


def versions(contestants, installed) -> str:
    shown = [f"Python {platform.python_version()}"]
    for server in contestants:
        if server.binary:
            shown.append(machine.output_of([server.binary, "--version"]))
    for name in ("gunicorn", "granian", "uwsgi", "bjoern"):
        if any(server.name.split()[0] == name for server in contestants):
            shown.append(f"{name} {installed.get(name, '?')}")
    shown += [f"Flask {installed.get('flask')}", f"Django {installed.get('django')}"]
    shown.append(machine.output_of(["wrk", "-v"]).splitlines()[0].split(" Copyright")[0])
    return ", ".join(shown)


def heading(options, contestants, installed, cores) -> str:
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    command = shlex.join(["benches/compare.py", *words])
    return "\n".join(
        [
            f"- Date: {datetime.date.today().isoformat()}",
            f"- Machine: {machine.describe()}; server on core {cores.server}, "
            f"wrk on core {','.join(map(str, sorted(cores.load)))}; "
            f"load average before the run {machine.load_average()}",
            f"- Versions: {versions(contestants, installed)}",
            f"- Command: `{command}`",
            f"- Medians of {options.rounds} interleaved rounds of {options.seconds} s",
        ]
    )


def compare(options, venv, environment, cores) -> str:
    known = servers.peers(venv)
    contestants = [
        servers.rgunicorn(script.binary(options)) if name == "rgunicorn" else known[name]
        for name in options.servers
    ]
    top = heading(options, contestants, venv.versions(), cores)
    loads = [profiles.BY_KEY[key] for key in options.profiles if key in profiles.BY_KEY]
    results, memory_rows, start_rows = throughput.Results(), [], []
    if loads:
        results = throughput.run(
            contestants, loads, options.rounds, options.seconds, venv, environment, cores
        )
    if "memory" in options.profiles:
        memory_rows = footprint.memory(contestants, min(options.rounds, 3), environment)
    if "startup" in options.profiles:
        runs = 2 if options.quick else 9
        start_rows = footprint.start_up(contestants, runs, environment, cores)
    parts = [
        top,
        report.goals(results, memory_rows, start_rows),
        report.throughput(results, loads, contestants),
        report.notes(contestants) if loads else "",
        report.memory(memory_rows) if memory_rows else "",
        report.start_up(start_rows) if start_rows else "",
    ]
    return "\n\n".join(part for part in parts if part)


def compare_pair(options, environment, cores) -> str:
    other = script.executable(options.pair)
    loads = [profiles.BY_KEY[key] for key in options.profiles if key in profiles.BY_KEY]
    return report.pair(
        pair.run(script.binary(options), other, loads, options.rounds, options.seconds, environment, cores)
    )


def main() -> None:
    options = arguments()
    machine.require("wrk", "wrk")
    cores = machine.Cores.choose()
    venv = peers.Venv()
    venv.prepare(set() if options.pair else {servers.DISTRIBUTION.get(name) for name in options.servers})
    with served_file() as path:
        environment = {**venv.environment(), "BENCH_FILE": path}
        if options.pair:
            print(compare_pair(options, environment, cores))
            return
        text = compare(options, venv, environment, cores)
    print(text)
    if options.write:
        report.write(text)


if __name__ == "__main__":
    sys.exit(script.run("compare.py", main))
