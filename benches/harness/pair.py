"""Two rgunicorn binaries against each other, alternately, per profile."""

from __future__ import annotations

import statistics

from .load import measure, prepare
from .peers import say
from .servers import rgunicorn
from .throughput import started


def run(this: str, other: str, profiles, rounds: int, seconds: int, environment, cores) -> list:
    """Rows (profile, median CPU this, median CPU other, ratios this / other, errors).

    Each round starts both afresh (so that no memory layout decides) and gives them the load in
    turns of a second, A B, B A, ...: what slows the machine for a while slows both. The median
    over the rounds drops those that something hit in between all the same.
    """
    # The same dict and set orders in both.
    environment = {**environment, "PYTHONHASHSEED": "0"}
    rows = []
    for profile in profiles:
        pairs = []
        for turn in range(rounds):
            mine, theirs = one_round(this, other, profile, seconds, environment, cores)
            pairs.append((mine, theirs))
            say(
                f"pair {turn + 1}/{rounds} {profile.key:8} this {mine.cpu_us:8.3f} us  "
                f"other {theirs.cpu_us:8.3f} us  ratio {mine.cpu_us / theirs.cpu_us:.4f}"
            )
        rows.append(
            (
                profile,
                statistics.median(mine.cpu_us for mine, _ in pairs),
                statistics.median(theirs.cpu_us for _, theirs in pairs),
                [mine.cpu_us / theirs.cpu_us for mine, theirs in pairs],
                sum(mine.errors + theirs.errors for mine, theirs in pairs),
            )
        )
    return rows


def one_round(this: str, other: str, profile, seconds: int, environment, cores):
    """Samples of `this` and of `other`, `seconds` each in all."""
    with started(rgunicorn(this, "this"), profile, environment, cores) as mine, started(
        rgunicorn(other, "other"), profile, environment, cores
    ) as theirs:
        prepare(mine, profile, cores)
        prepare(theirs, profile, cores)
        samples = {}
        for turn in range(seconds):
            for running in (mine, theirs) if turn % 2 == 0 else (theirs, mine):
                sample = measure(running, profile, 1, cores)
                samples[running] = samples[running] + sample if running in samples else sample
    return samples[mine], samples[theirs]
