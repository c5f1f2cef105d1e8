"""Tables and curves of dispatch.py."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

from .arrivals import Load, Schedule, percentile
from .curves import Curve, Panel
from .layouts import KNOWN, NOTES, OURS, Layout
from .report import table

SHARES = (0.50, 0.95, 0.99)
COUNTS = ("lost", "failed", "closed", "unannounced", "held")
REFERENCE = "gunicorn sync"
#: What the project holds itself to: each percentile against gunicorn sync at a load that slots can take
#: without queueing, and p99 against the ideal queue where they cannot.
LIMIT_REFERENCE, LIMIT_IDEAL = 1.3, 1.5
BUSY = 0.85
#: How far a worker's share of the requests may be from even.
BALANCE = 0.20
#: A generator later than this at p99 makes the figures doubtful.
LATE = 0.001


@dataclass
class Results:
    """All rounds of one load: outcomes by layout, failures by layout, and the ideal queue's latencies."""

    load: Load
    plan: Schedule
    ideal: list
    outcomes: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)

    def sorted(self, latency, fast_only: bool = True) -> list:
        return self.plan.select(latency, fast_only)

    def percentiles(self, layout: Layout, fast_only: bool = True) -> list:
        """Per share the median over the rounds."""
        rounds = [self.sorted(outcome.latency, fast_only) for outcome in self.outcomes[layout]]
        return [statistics.median(percentile(each, share) for each in rounds) for share in SHARES]

    def ideal_percentiles(self, fast_only: bool = True) -> list:
        ordered = self.sorted(self.ideal, fast_only)
        return [percentile(ordered, share) for share in SHARES]

    def ratios(self, layout: Layout, reference: Layout) -> list:
        """Per share the median over the rounds of layout / reference, both taken from the same round."""
        pairs = zip(self.outcomes[layout], self.outcomes[reference])
        rounds = [
            [
                _over(percentile(self.sorted(mine.latency), share), percentile(self.sorted(theirs.latency), share))
                for share in SHARES
            ]
            for mine, theirs in pairs
        ]
        return [statistics.median(column) for column in zip(*rounds)]


def milliseconds(seconds: float) -> str:
    """Three digits that tell; a percentile beyond the answered requests has no time."""
    if math.isinf(seconds) or math.isnan(seconds):
        return "never"
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def latencies(results: Results, layouts) -> str:
    """The table of one load."""
    head = ["Layout", "fast p50", "p95", "p99", "all p50", "p95", "p99"]
    head += ["lost", "failed", "closed by server", "of these unannounced", "waited in client"]
    head += ["generator late p99"]
    times = results.ideal_percentiles() + results.ideal_percentiles(fast_only=False)
    rows = [["**ideal single queue**", *map(milliseconds, times), "0", "0", "0", "0", "", ""]]
    for layout in layouts:
        if layout in results.failures:
            rows.append([layout.name, results.failures[layout], *[""] * (len(head) - 2)])
            continue
        runs = results.outcomes[layout]
        times = results.percentiles(layout) + results.percentiles(layout, fast_only=False)
        counts = [sum(getattr(run, name) for run in runs) for name in COUNTS]
        late = max(percentile(sorted(run.late), 0.99) for run in runs)
        shown = f"**{milliseconds(late)}**" if late > LATE else milliseconds(late)
        rows.append([layout.name, *map(milliseconds, times), *map(str, counts), shown])
    fast = len(results.sorted(results.ideal))
    title = f"### {results.load.title}\n\nMilliseconds from the intended start; {fast} fast requests counted"
    count = max((len(runs) for runs in results.outcomes.values()), default=1)
    title += f" in each of {count} rounds." if count > 1 else "."
    return f"{title}\n\n{table(head, rows)}"


def goals(all_results, layouts) -> str:
    """Ratios of our layouts to gunicorn sync of the same rounds, and to the ideal queue."""
    rows = []
    for results in all_results:
        reference = next((one for one in results.outcomes if one.kind == REFERENCE), None)
        for layout in layouts:
            if layout.kind != OURS:
                continue
            label = f"{layout.name}, {results.load.rate:.0f}/s"
            if layout in results.failures:
                rows.append([label, "", "", "", "", results.failures[layout], "**no**"])
                continue
            ratios = results.ratios(layout, reference) if reference else [math.nan] * len(SHARES)
            ideal = _over(results.percentiles(layout)[-1], results.ideal_percentiles()[-1])
            if results.load.utilisation >= BUSY:
                bound, met = f"p99 / ideal {LIMIT_IDEAL}", ideal <= LIMIT_IDEAL
            else:
                bound = f"each / {REFERENCE} {LIMIT_REFERENCE}"
                met = all(ratio <= LIMIT_REFERENCE for ratio in ratios)
            rows.append([label, *map(_ratio, ratios), _ratio(ideal), bound, "yes" if met else "**no**"])
    if not rows:
        return ""
    head = ["Layout and load", f"p50 / {REFERENCE}", "p95", "p99", "p99 / ideal", "at most", "met"]
    return "### Goals: fast requests\n\n" + table(head, rows)


def _over(mine: float, theirs: float) -> float:
    return mine / theirs if theirs < math.inf else math.nan


def _ratio(value: float) -> str:
    return "" if math.isnan(value) else "never" if math.isinf(value) else f"{value:.2f}"


def generator(all_results) -> str:
    """How well the generator itself kept up, in a sentence."""
    runs = [run for results in all_results for rounds in results.outcomes.values() for run in rounds]
    if not runs:
        return ""
    late = [percentile(sorted(run.late), 0.99) for run in runs]
    text = (
        f"The generator sent requests at most {milliseconds(max(late))} ms late (p99 of its worst run; "
        f"median of the runs {milliseconds(statistics.median(late))} ms) and used at most "
        f"{max(run.cpu for run in runs):.0%} of its core, for which it had to wait behind other processes "
        f"at most {max(run.displaced for run in runs):.1%} of the time."
    )
    if max(late) > LATE:
        text += f" **Runs that were more than {LATE * 1000:.0f} ms late (bold) are doubtful: repeat them.**"
    return text


def notes(layouts) -> str:
    kinds = dict.fromkeys(layout.kind for layout in layouts)
    return "\n".join(f"- {kind}: {NOTES[kind]}." for kind in kinds if kind in NOTES)


def panels(all_results, layouts) -> list:
    """One panel per load; a server has one colour, a number of threads one dash."""
    colours = {label: number for number, (label, _, _) in enumerate(KNOWN.values())}
    dashes = {count: number for number, count in enumerate(sorted({layout.threads for layout in layouts}))}
    found = []
    for results in all_results:
        curves = [Curve("ideal single queue", results.sorted(results.ideal))]
        for layout in layouts:
            pooled = [run.latency for run in results.outcomes.get(layout, [])]
            ordered = sorted(value for latency in pooled for value in results.sorted(latency))
            if ordered:
                curves.append(Curve(layout.name, ordered, colours[layout.kind], dashes[layout.threads]))
        found.append(Panel(results.load.title, curves))
    return found


def balance(rows, workers: int, connections: int) -> str:
    """Rows (layout, Saturation or a failure): how evenly workers did, and connections got, the requests."""
    head = ["Layout", "requests/s", "workers that answered", "least / even", "most / even"]
    head += [f"within {BALANCE:.0%}", "worst served connection / even", "best", "longest wait s"]
    head += ["lost", "failed", "closed by server", "generator CPU"]
    body = []
    for layout, result in rows:
        if isinstance(result, str):
            body.append([layout.name, result, *[""] * (len(head) - 2)])
            continue
        shares = sorted(result.workers.values())
        total = sum(shares)
        even, each = total / workers, total / connections
        # A worker that answered nothing is not in the list.
        least = (shares[0] if len(shares) >= workers else 0) / even if even else 0.0
        most = shares[-1] / even if even else 0.0
        met = least >= 1 - BALANCE and most <= 1 + BALANCE and len(shares) == workers
        body.append(
            [
                layout.name,
                f"{total / result.seconds:,.0f}",
                str(len(shares)),
                f"{least:.2f}",
                f"{most:.2f}",
                "yes" if met else "**no**",
                *(f"{bound(result.connections) / each:.2f}" if each else "" for bound in (min, max)),
                f"{result.longest:.2f}",
                *(str(count) for count in (result.lost, result.failed, result.closed)),
                f"{result.cpu:.0%}",
            ]
        )
    title = f"### Balance: {workers} workers, {connections} connections that never pause"
    return f"{title}\n\n{table(head, body)}"
