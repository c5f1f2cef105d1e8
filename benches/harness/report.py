"""The Markdown report."""

from __future__ import annotations

import statistics
from pathlib import Path

from .machine import ROOT, Missing
from .throughput import Results

OURS = "rgunicorn"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def table(head, rows) -> str:
    """A Markdown table: the first column left, the others right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value, digits: int = 2) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}f}"


def ratio(mine, theirs) -> str:
    return "" if mine is None or not theirs else f"{mine / theirs:.3f}"


def throughput(results: Results, profiles, servers) -> str:
    """One table per profile."""
    parts = []
    for profile in profiles:
        bare = results.bare_loop(profile.key)
        ours = results.cpu(profile.key, OURS)
        head = ["Server", "requests/s", "CPU us/request", "lowest - highest"]
        head += [f"{OURS} / it"] if ours else []
        head += ["own share us"] if bare else []
        head += ["errors"]
        rows = []
        for server in servers:
            samples = results.of(profile.key, server.name)
            failure = results.failures.get((profile.key, server.name))
            if failure or not samples:
                rows.append([server.name, failure or "", *[""] * (len(head) - 2)])
                continue
            cpu = results.cpu(profile.key, server.name)
            spread = [sample.cpu_us for sample in samples]
            row = [server.name, number(results.rate(profile.key, server.name), 0), number(cpu)]
            row += [f"{number(min(spread))} - {number(max(spread))}"]
            row += [ratio(ours, cpu)] if ours else []
            row += [number(results.own_share(profile.key, server.name))] if bare else []
            row += [str(results.errors(profile.key, server.name))]
            rows.append(row)
        text = f"### {profile.title}\n\n{profile.connections} connections."
        if bare:
            text += f" The application alone, called in a bare loop: {number(bare)} us."
        parts.append(f"{text}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def notes(servers) -> str:
    return "\n".join(f"- {server.name}: {server.note}." for server in servers if server.note)


def memory(rows) -> str:
    ours = {preload: mib for server, preload, mib, _ in rows if server.name == OURS}
    head = ["Server", "preload", "PSS of the tree, MiB", "workers that answered"]
    head += [f"{OURS} / it"] if ours else []
    body = []
    for server, preload, mib, seen in rows:
        row = [server.name, "yes" if preload else "no", f"{mib:.1f}", str(seen)]
        body.append(row + ([ratio(ours.get(preload), mib)] if ours else []))
    return "### Memory: Flask, 4 workers\n\n" + table(head, body)


def start_up(rows) -> str:
    ours = {module: median for server, module, median, _ in rows if server.name == OURS}
    head = ["Server", "application", "ms to first answer", "lowest - highest"]
    head += [f"{OURS} / it"] if ours else []
    body = []
    for server, module, median, times in rows:
        row = [server.name, module, f"{median:.1f}", f"{min(times):.1f} - {max(times):.1f}"]
        body.append(row + ([ratio(ours.get(module), median)] if ours else []))
    return "### Start-up: exec to first answer, one worker\n\n" + table(head, body)


def goals(results: Results, memory_rows, start_rows) -> str:
    """What the project holds itself to, as far as this run has the figures."""
    found = []

    def cpu(text, profile, peer, limit):
        mine, theirs = results.cpu(profile, OURS), results.cpu(profile, peer)
        if mine and theirs:
            found.append((text, mine / theirs, limit))

    cpu("hello keep-alive, CPU / bjoern", "hello", "bjoern", 0.95)
    cpu("hello keep-alive, CPU / granian", "hello", "granian", 0.50)
    cpu("hello keep-alive, CPU / gunicorn sync", "hello", "gunicorn sync", 0.10)
    cpu("12 browser headers, CPU / bjoern", "headers", "bjoern", 0.80)
    cpu("Connection: close, CPU / bjoern", "close", "bjoern", 1.05)
    mine, theirs = (results.own_share("flask", name) for name in (OURS, "gunicorn sync"))
    if mine is not None and theirs:
        found.append(("Flask JSON, own share / gunicorn sync", mine / theirs, 0.10))
    sizes = {(server.name, preload): mib for server, preload, mib, _ in memory_rows}
    for preload, limit in ((False, 1.0), (True, 0.85)):
        mine, theirs = (sizes.get((name, preload)) for name in (OURS, "gunicorn sync"))
        if mine and theirs:
            label = " with preload" if preload else ""
            found.append((f"PSS of 4 Flask workers{label} / gunicorn sync", mine / theirs, limit))
    times = {(server.name, module): median for server, module, median, _ in start_rows}
    for module in ("hello", "flask_json"):
        mine, theirs = (times.get((name, module)) for name in (OURS, "gunicorn sync"))
        if mine and theirs:
            found.append((f"start-up of {module} / gunicorn sync", mine / theirs, 1.0))
    if not found:
        return ""
    rows = [
        [text, f"{value:.3f}", f"{limit:.2f}", "yes" if value <= limit else "**no**"]
        for text, value, limit in found
    ]
    return "### Goals\n\n" + table(["Ratio", "measured", "at most", "met"], rows)


def pair(rows, bound: float = 1.02) -> str:
    """`this` against `other`: one row per profile."""
    body = []
    for profile, mine, theirs, ratios, errors in rows:
        middle = statistics.median(ratios)
        body.append(
            [
                profile.title,
                number(mine, 3),
                number(theirs, 3),
                f"{middle:.4f}",
                f"{min(ratios):.3f} - {max(ratios):.3f}",
                "**slower**" if middle > bound else "ok",
                str(errors),
            ]
        )
    head = ["Profile", "this us/request", "other us/request", "median of this / other"]
    head += ["lowest - highest", f"at most {bound:.2f}", "errors"]
    return table(head, body)


def write(report: str, section: str = "compare", document: Path = DOCUMENT) -> None:
    """Puts the report between the markers of the section; the prose around them stays."""
    begin_marker, end_marker = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise Missing(f"cannot read {document}: {error.strerror}") from None
    before, begin, rest = text.partition(begin_marker)
    _, end, after = rest.partition(end_marker)
    if not begin or not end:
        raise Missing(f"{document} lacks the markers {begin_marker} and {end_marker}")
    document.write_text(f"{before}{begin}\n{report}\n{end}{after}", encoding="utf-8")
