#!/usr/bin/env python3
"""Sends random mutations of valid requests to rgunicorn and to gunicorn and compares what becomes of
them: what is accepted, what the application saw, what is answered, whether the connection is kept.

See fuzz/README.md. Python 3.9 or newer, standard library only. Exit status 0: every disagreement is
an intended one (docs/differences.md); 1: there are others; 2: it could not be tried.
"""

import argparse
import collections
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from differ import exchange, rules, servers
from differ.cases import Cases

QUIET = 0.15  # seconds without a byte after which a patient client takes a connection for kept
QUIET_AGAIN = 1.5  # the same when a disagreement is tried again
MINIMISE = 60.0  # seconds spent on making an unexplained case smaller
BATCH = 200  # cases between two looks at the health of the servers


def main():
    # The servers are ended on the way out, also when this is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = arguments()
    profiles = options.profiles.split(",")
    if not set(profiles) <= set(servers.PROFILES):
        sys.exit(f"--profiles: choose from {','.join(servers.PROFILES)}")
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    cases = Cases(seed, profiles)
    with ExitStack() as stack:
        pairs = {}
        for profile in profiles:
            pairs[profile] = servers.pair(options.rgunicorn, options.gunicorn, profile)
            for server in pairs[profile]:
                stack.enter_context(server)
        return Comparison(pairs, cases, options).run()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rgunicorn", required=True, help="the rgunicorn binary")
    parser.add_argument("--gunicorn", required=True, help="gunicorn, in its virtual environment")
    parser.add_argument("--seed", type=int, help="the same cases again (default: random)")
    parser.add_argument("--count", type=int, default=0, help="cases to try (default: no limit)")
    parser.add_argument("--seconds", type=float, default=60, help="time to take (default: 60)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--profiles", default=",".join(servers.PROFILES), help="of %(default)s")
    parser.add_argument("--threads", type=int, default=4, help="cases at a time (default: 4)")
    parser.add_argument("--most", type=int, default=20, help="unexplained cases until it gives up")
    return parser.parse_args()


class Comparison:
    def __init__(self, pairs, cases, options):
        self.pairs = pairs
        self.cases = cases
        self.options = options
        self.explained = collections.Counter()
        self.answered = collections.Counter()
        self.unexplained = 0

    def run(self):
        started = time.monotonic()
        number = self.options.first
        end = number + self.options.count if self.options.count else sys.maxsize
        complaint = None
        with ThreadPoolExecutor(self.options.threads) as pool:
            while number < end and time.monotonic() - started < self.options.seconds:
                batch = range(number, min(number + BATCH, end))
                number = batch.stop
                # All of them, before one is tried again alone.
                for found in list(pool.map(self.attempt, batch)):
                    if found is not None:
                        self.judge(*found)
                complaint = self.complaint()
                if complaint or self.unexplained >= self.options.most:
                    break
        count = number - self.options.first
        elapsed = time.monotonic() - started
        answers = ", ".join(f"{n} x {status}" for status, n in sorted(self.answered.items()))
        print(f"{count} cases in {elapsed:.1f} s, answered by rgunicorn: {answers}")
        for name, times in self.explained.most_common():
            print(f"intended, {times} times: {name.replace('_', ' ')}")
        if complaint:
            print(complaint)
        print(f"{self.unexplained} unexplained disagreements")
        return 1 if complaint or self.unexplained else 0

    def complaint(self):
        found = [server.complaint() for pair in self.pairs.values() for server in pair]
        return "\n".join(filter(None, found)) or None

    def exchange(self, case, quiet):
        """Both outcomes of a case."""
        quiet = quiet if case.patient else None
        pair = self.pairs[case.profile]
        return [exchange.run(server.address, case.pieces, quiet) for server in pair]

    def attempt(self, number):
        """Tries a case; the case if the servers disagree."""
        case = self.cases.case(number)
        ours, theirs = self.exchange(case, QUIET)
        self.answered.update(answer.status for answer in ours.answers)
        found = rules.differences(ours, theirs)
        return (number, case, found) if found else None

    def disagreement(self, case):
        """Tries a case again, alone: outcomes and differences if the servers still disagree."""
        ours, theirs = self.exchange(case, QUIET_AGAIN)
        found = rules.differences(ours, theirs)
        return (ours, theirs, found) if found else None

    def explain(self, case, ours, theirs):
        def ask(wire):
            return self.exchange(replace(case, pieces=[wire], patient=False), None)

        return rules.explain(case, ours, theirs, ask)

    def judge(self, number, case, found):
        again = self.disagreement(case)
        if again is None:
            # A connection that is closed on what was not read may be reset, or not. Anything else is
            # worth a look.
            self.explained["once_only"] += 1
            print(f"case {number}, once only:", "; ".join(each.text for each in found), flush=True)
            return
        reason = self.explain(case, again[0], again[1])
        if reason is not None:
            self.explained[reason] += 1
            return
        self.unexplained += 1
        print(f"\n--- case {number}, settings {case.profile!r}")
        show("as it was", case, again)
        small = self.minimised(case, again[2])
        show("as small as it gets", small, self.disagreement(small) or again)

    def minimised(self, case, found):
        """The case with as much taken away as can be while the same things differ."""
        kinds = rules.kinds(found)
        deadline = time.monotonic() + MINIMISE

        def fails(candidate):
            again = self.disagreement(candidate)
            if again is None or rules.kinds(again[2]) != kinds:
                return False
            return self.explain(candidate, again[0], again[1]) is None

        whole = replace(case, pieces=[case.wire()])
        if len(case.pieces) > 1 and fails(whole):
            case = whole
        if case.patient and fails(replace(case, patient=False)):
            case = replace(case, patient=False)
        if len(case.pieces) > 1:
            return case
        wire = case.wire()
        size = len(wire) // 2
        while size and time.monotonic() < deadline:
            at = 0
            while at < len(wire) and time.monotonic() < deadline:
                shorter = wire[:at] + wire[at + size :]
                if shorter and fails(replace(case, pieces=[shorter])):
                    wire = shorter
                else:
                    at += size
            size //= 2
        return replace(case, pieces=[wire])


def show(what, case, disagreement):
    """Prints a case and what became of it, at once: what follows may take a minute, or be ended."""
    ours, theirs, found = disagreement
    print(f"{what}: {case.pieces}", "left open" if case.patient else "")
    for difference in found:
        print("  rgunicorn and gunicorn differ in", difference.text)
    for name, outcome in (("rgunicorn", ours), ("gunicorn", theirs)):
        answers = [f"{a.status} {a.page() or a.connection!r}" for a in outcome.answers]
        early = f" after {outcome.early} of these" if outcome.end == "open" else ""
        print(f"  {name}: {answers} {outcome.end}{early}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
