"""Two rgunicorn binaries against each other: A B, B A, A B ... per profile."""

from __future__ import annotations

import statistics

from . import throughput
from .peers import say
from .servers import rgunicorn


def run(this: str, other: str, profiles, rounds: int, seconds: int, environment, cores) -> list:
    """Rows (profile, median CPU this, median CPU other, pairwise ratios this / other, errors).

    The two runs of a pair follow each other at once, so that what slows the machine for a while
    slows both; the median of the pairwise ratios then drops the pairs that something hit in between.
    """
    contestants = [rgunicorn(this, "this"), rgunicorn(other, "other")]
    # The same dict and set orders in both.
    environment = {**environment, "PYTHONHASHSEED": "0"}
    rows = []
    for profile in profiles:
        cpu, errors = {"this": [], "other": []}, 0
        for turn in range(rounds):
            for server in contestants if turn % 2 == 0 else contestants[::-1]:
                sample = throughput.once(server, profile, seconds, environment, cores)
                cpu[server.name].append(sample.cpu_us)
                errors += sample.errors
            say(
                f"pair {turn + 1}/{rounds} {profile.key:8} this {cpu['this'][-1]:8.3f} us  "
                f"other {cpu['other'][-1]:8.3f} us  ratio {cpu['this'][-1] / cpu['other'][-1]:.4f}"
            )
        ratios = [mine / theirs for mine, theirs in zip(cpu["this"], cpu["other"])]
        medians = [statistics.median(cpu[name]) for name in ("this", "other")]
        rows.append((profile, *medians, ratios, errors))
    return rows
