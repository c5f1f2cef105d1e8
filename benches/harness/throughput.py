"""Runs servers and profiles in turn, several rounds interleaved, and takes medians."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from .load import Sample, measure, prepare
from .machine import APPS, Cores, Missing, output_of
from .peers import Venv, say
from .profiles import WITH_BARE_LOOP, Profile
from .servers import Running, Server

#: Calls in one bare loop: long enough that the clock does not matter, about a second of Django.
BARE_CALLS = {"hello": 300_000, "flask": 20_000, "django": 20_000}


@dataclass
class Results:
    """Samples, or why there are none, by (profile key, server name); bare-loop us by profile key."""

    samples: dict = field(default_factory=dict)
    bare: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)

    def of(self, profile: str, server: str) -> list:
        return self.samples.get((profile, server), [])

    def cpu(self, profile: str, server: str):
        """Median CPU per request in microseconds, or None."""
        found = self.of(profile, server)
        return statistics.median(sample.cpu_us for sample in found) if found else None

    def rate(self, profile: str, server: str):
        found = self.of(profile, server)
        return statistics.median(sample.rate for sample in found) if found else None

    def errors(self, profile: str, server: str) -> int:
        return sum(sample.errors for sample in self.of(profile, server))

    def bare_loop(self, profile: str):
        found = self.bare.get(profile)
        return statistics.median(found) if found else None

    def own_share(self, profile: str, server: str):
        """CPU per request less that of the application in a bare loop."""
        whole, bare = self.cpu(profile, server), self.bare_loop(profile)
        return None if whole is None or bare is None else whole - bare


def run(servers, profiles, rounds: int, seconds: int, venv: Venv, environment, cores: Cores) -> Results:
    """`environment` is what servers are started with."""
    results = Results()
    for turn in range(rounds):
        for profile in profiles:
            if profile.key in WITH_BARE_LOOP:
                results.bare.setdefault(profile.key, []).append(bare_loop(profile, venv, environment, cores))
            # Another order each round: nobody always runs first, or always after the same peer.
            for server in servers[turn % len(servers) :] + servers[: turn % len(servers)]:
                if (profile.key, server.name) in results.failures:
                    continue
                try:
                    sample = once(server, profile, seconds, environment, cores)
                except Missing as failure:
                    # One server that cannot do one profile must not cost the whole run.
                    results.failures[(profile.key, server.name)] = str(failure).splitlines()[0]
                    say(f"{profile.key} {server.name}: {failure}")
                    continue
                results.samples.setdefault((profile.key, server.name), []).append(sample)
                say(
                    f"round {turn + 1}/{rounds} {profile.key:8} {server.name:17} "
                    f"{sample.rate:9.0f}/s {sample.cpu_us:9.2f} us"
                    + (f"  {sample.errors} errors" if sample.errors else "")
                )
    return results


def once(server: Server, profile: Profile, seconds: int, environment, cores: Cores) -> Sample:
    """A fresh server for one sample: no round inherits the memory layout of another."""
    with started(server, profile, environment, cores) as running:
        prepare(running, profile, cores)
        return measure(running, profile, seconds, cores)


def started(server: Server, profile: Profile, environment, cores: Cores) -> Running:
    """The server on its core, with one worker."""
    with cores.children_on({cores.server}):
        return Running(server, profile.module, environment)


def bare_loop(profile: Profile, venv: Venv, environment, cores: Cores) -> float:
    """Microseconds per call of the application alone, on the server's core and Python."""
    script = str(APPS.parent / "harness" / "bare_loop.py")
    command = [venv.python, script, profile.module, str(BARE_CALLS[profile.key])]
    with cores.children_on({cores.server}):
        return float(output_of(command, cwd=APPS, env={**environment, "PYTHONPATH": str(APPS)}))
