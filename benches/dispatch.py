#!/usr/bin/env python3
"""How long fast requests wait for slow ones when all Python slots together could serve both.

Requests arrive at fixed times over keep-alive connections, and latency counts from the intended
start. Every server gets the same arrivals, in several layouts of the same number of slots, and is
set beside the ideal single queue. See benches/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import resource
import shlex
import sys
import time
from pathlib import Path

from harness import arrivals, curves, dispatch_report, layouts, loops, machine, peers, report, script
from harness.arrivals import Load
from harness.machine import Missing
from harness.peers import say
from harness.servers import Running

PLOT = machine.ROOT / "docs" / "dispatch.svg"
APP = "sleeps"
DEFAULT_RATE, DEFAULT_UTILISATION = 250.0, 0.9
#: (open loop, --balance).
DEFAULT_CONNECTIONS, DEFAULT_SLOTS = (64, 1000), (4, 8)
#: Each slot may be a process: more would test how the machine swaps.
MOST_SLOTS, MOST_CONNECTIONS = 64, 10_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=",".join(layouts.KNOWN), help="which of: %(default)s")
    parser.add_argument("--slots", type=int, help="Python slots of every layout (default 4; --balance: 8)")
    parser.add_argument("--layouts", help="which of the shapes, as in 4x1,1x4 (default: all)")
    parser.add_argument("--rate", type=float, help=f"requests per second (default {DEFAULT_RATE:.0f})")
    parser.add_argument(
        "--utilisation",
        type=float,
        help="a load that needs this share of the slots' time, besides or instead of --rate "
        f"(default {DEFAULT_UTILISATION} if --rate is not given either)",
    )
    parser.add_argument(
        "--arrivals",
        choices=arrivals.KINDS,
        help="for all loads (default: even for --rate, poisson for --utilisation)",
    )
    parser.add_argument("--connections", type=int, help="kept by the client (default 64; --balance: 1000)")
    parser.add_argument(
        "--fixed", action="store_true", help="bind request k to connection k modulo their number"
    )
    parser.add_argument("--seconds", type=float, default=20, help="counted per run (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="of all layouts (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (default %(default)s)")
    parser.add_argument("--pairs", action="store_true", help="only the goals: rgunicorn and gunicorn sync")
    parser.add_argument("--balance", action="store_true", help="saturate processes and count who answers")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="run the generator ahead of all other processes on its core (SCHED_FIFO; needs root)",
    )
    parser.add_argument("--quick", action="store_true", help="two seconds each: does it run at all")
    script.offer_binary(parser)
    parser.add_argument("--write", action="store_true", help="put report and plot into docs/")
    options = parser.parse_args()
    complete(parser, options)
    return options


def complete(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    options.servers = script.chosen(parser, "--servers", options.servers, layouts.KNOWN)
    if options.pairs:
        options.servers = ["sync", "rgunicorn"]
    if options.pairs and (options.balance or options.write):
        parser.error("--pairs goes with neither --balance nor --write")
    options.slots = options.slots or DEFAULT_SLOTS[options.balance]
    options.connections = options.connections or DEFAULT_CONNECTIONS[options.balance]
    if options.quick:
        options.seconds, options.rounds = 2, 1
    if min(options.slots, options.connections, options.rounds) < 1 or options.seconds <= 0:
        parser.error("--slots, --connections, --rounds and --seconds must be positive")
    if options.slots > MOST_SLOTS or options.connections > MOST_CONNECTIONS:
        parser.error(f"at most {MOST_SLOTS} slots and {MOST_CONNECTIONS} connections")
    if options.rate is not None and options.rate <= 0:
        parser.error("--rate must be positive")
    if options.utilisation is not None and not 0 < options.utilisation < 1:
        parser.error("--utilisation must lie between 0 and 1: an overloaded queue has no percentiles")
    shapes = {f"{workers}x{threads}": (workers, threads) for workers, threads in layouts.shapes(options.slots)}
    if options.balance:
        shapes = dict(list(shapes.items())[:1])
    if options.layouts:
        names = script.chosen(parser, "--layouts", options.layouts, shapes)
    else:
        names = list(shapes)
    options.layouts = [shapes[name] for name in names]


def loads(options: argparse.Namespace) -> list:
    """--rate and --utilisation give a load each; if neither is there, both of the defaults."""
    rate, utilisation = options.rate, options.utilisation
    if rate is None and utilisation is None:
        rate, utilisation = DEFAULT_RATE, DEFAULT_UTILISATION
    found = []
    if rate is not None:
        used = arrivals.utilisation_of(rate, options.slots)
        if used >= 1:
            say(f"{rate:.0f} requests/s are more than {options.slots} slots can serve: queues will only grow")
        found.append(Load(rate, options.arrivals or "even", used))
    if utilisation is not None:
        rate = arrivals.rate_for(utilisation, options.slots)
        found.append(Load(rate, options.arrivals or "poisson", utilisation))
    return found


class Cores:
    """The generator alone on the first core, servers on all others."""

    def __init__(self, realtime: bool) -> None:
        self.realtime = realtime
        self.cores = machine.Cores.choose()
        self.generator = frozenset({min(self.cores.all)})
        self.servers = self.cores.all - self.generator

    def start(self, layout: layouts.Layout, environment: dict) -> Running:
        with self.cores.children_on(self.servers):
            return Running(layout.server, APP, environment)

    @contextlib.contextmanager
    def load(self):
        """Inside the block this process is the generator."""
        with self.cores.children_on(self.generator):
            if self.realtime:
                set_policy(os.SCHED_FIFO, 1)
            try:
                yield
            finally:
                if self.realtime:
                    set_policy(os.SCHED_OTHER, 0)


def set_policy(policy: int, priority: int) -> None:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except PermissionError:
        raise Missing("--realtime needs root (or CAP_SYS_NICE)") from None


def measure(options, contestants, environment, cores: Cores) -> list:
    """Results of each load. Every layout meets every load in each round, in an order that turns."""
    all_results = []
    for load in loads(options):
        plan = arrivals.schedule(load, options.seconds, options.seed, options.connections)
        if plan.counted == len(plan.due):
            raise Missing("no request falls into the counted time: raise --seconds or --rate")
        ideal = arrivals.ideal(plan, options.slots, options.connections, options.fixed)
        all_results.append(dispatch_report.Results(load, plan, ideal))
    for turn in range(options.rounds):
        shift = turn % len(contestants)
        for layout in contestants[shift:] + contestants[:shift]:
            for results in all_results:
                if layout not in results.failures:
                    once(options, layout, results, environment, cores)
    return all_results


def once(options, layout, results, environment, cores: Cores) -> None:
    """One load against one fresh server."""
    with cores.start(layout, environment) as running, cores.load():
        try:
            layouts.wait_ready(running, layout)
        except Missing as problem:
            results.failures[layout] = str(problem)
            say(f"{layout.name}: {problem}")
            return
        outcome = loops.open_loop(running.port, results.plan, options.connections, options.fixed)
    results.outcomes.setdefault(layout, []).append(outcome)
    fast = results.sorted(outcome.latency)
    shown = [dispatch_report.milliseconds(arrivals.percentile(fast, share)) for share in (0.5, 0.95, 0.99)]
    say(
        f"{results.load.rate:4.0f}/s {layout.name:27} fast p50 {shown[0]:>7} p95 {shown[1]:>7} "
        f"p99 {shown[2]:>7} ms  lost {outcome.lost}  closed {outcome.closed}"
        f"  late p99 {arrivals.percentile(sorted(outcome.late), 0.99) * 1000:.2f} ms  CPU {outcome.cpu:.0%}"
    )


def balance(options, contestants, environment, cores: Cores) -> list:
    """Rows (layout, Saturation or why there is none) for the report."""
    rows = []
    for layout in contestants:
        with cores.start(layout, environment) as running, cores.load():
            try:
                layouts.wait_ready(running, layout)
                result = loops.closed_loop(running.port, options.connections, 1.0, options.seconds)
                say(f"{layout.name:27} {sorted(result.workers.values())}  longest {result.longest:.2f} s  lost {result.lost}")
            except Missing as problem:
                result = str(problem)
                say(f"{layout.name}: {problem}")
        rows.append((layout, result))
    return rows


def sleep_overshoot() -> float:
    """Median seconds by which this machine oversleeps the fast request's sleep: no server's fault."""
    found = []
    for _ in range(50):
        start = time.perf_counter()
        time.sleep(arrivals.FAST)
        found.append(time.perf_counter() - start - arrivals.FAST)
    return arrivals.percentile(sorted(found), 0.5)


def heading(options, contestants, installed, cores: Cores, extra) -> str:
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    shown = [f"Python {platform.python_version()}"]
    shown += dict.fromkeys(
        machine.output_of([layout.server.binary, "--version"]) for layout in contestants if layout.server.binary
    )
    distributions = dict.fromkeys(layouts.KNOWN[layout.key][1] for layout in contestants)
    shown += [f"{name} {installed.get(name, '?')}" for name in distributions if name]
    lines = [
        f"Date: {datetime.date.today().isoformat()}",
        f"Machine: {machine.describe()}; generator on core {min(cores.generator)}, servers on "
        f"{','.join(map(str, sorted(cores.servers)))}; load average before the run {machine.load_average()}",
        f"Versions: {', '.join(shown)}",
        f"Command: `{shlex.join(['benches/dispatch.py', *words])}`",
        *extra,
    ]
    return "\n".join(f"- {line}" for line in lines)


def conditions(options) -> list:
    binding = "bound to the requests in turn" if options.fixed else "each request takes the longest free"
    seconds = f"{options.seconds:g} s and {options.rounds} round(s) per layout and load"
    fast, slow = arrivals.FAST * 1000, arrivals.SLOW * 1000
    return [
        f"{options.connections} connections, {binding}; {options.slots} slots; {seconds}; seed {options.seed}",
        f"Requests: 5 % of {slow:.0f} ms, the others of {fast:.0f} ms, as a sleep in the application; "
        f"a sleep of {fast:.0f} ms takes {sleep_overshoot() * 1000:.2f} ms longer here",
    ]


def allow_descriptors(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Missing(f"{connections} connections need {needed} descriptors, and the limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main() -> None:
    options = arguments()
    allow_descriptors(options.connections)
    cores = Cores(options.realtime)
    venv = peers.Venv()
    venv.prepare({layouts.KNOWN[key][1] for key in options.servers} - {None})
    binary = ""
    if "rgunicorn" in options.servers:
        binary = script.binary(options)
    contestants = layouts.layouts(options.servers, options.layouts, venv, binary)
    if not contestants:
        raise Missing("none of the chosen servers can have one of the chosen layouts")
    environment = venv.environment()
    installed = venv.versions()
    if options.balance:
        service = f"Every request takes {arrivals.FAST * 1000:.0f} ms; {options.seconds:g} s counted"
        top = heading(options, contestants, installed, cores, [service])
        rows = balance(options, contestants, environment, cores)
        text = f"{top}\n\n{dispatch_report.balance(rows, options.slots, options.connections)}"
        print(text)
        if options.write:
            report.write(text, "balance")
        return
    top = heading(options, contestants, installed, cores, conditions(options))
    results = measure(options, contestants, environment, cores)
    print(whole := assemble(options, top, results, contestants))
    if options.write:
        PLOT.write_text(curves.svg(dispatch_report.panels(results, contestants)), encoding="utf-8")
        report.write(f"![Latency curves](dispatch.svg)\n\n{whole}", "dispatch")


def assemble(options, top: str, results, contestants) -> str:
    parts = [top, dispatch_report.goals(results, contestants)]
    parts += [dispatch_report.latencies(each, contestants) for each in results]
    parts += [dispatch_report.generator(results), dispatch_report.notes(contestants)]
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    sys.exit(script.run("dispatch.py", main))
