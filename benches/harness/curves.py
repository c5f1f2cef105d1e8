"""Latency curves as SVG, by hand: percentile to the right in nines, latency upwards on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from .arrivals import percentile

#: Colours that people with any colour vision can tell apart (Okabe and Ito); black is the ideal queue.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31")
DASHES = ("", "7 3", "2 3")
TICKS = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999)
WIDTH, HEIGHT, LEGEND = 620, 340, 230
LEFT, TOP, BOTTOM, BETWEEN = 60, 40, 44, 24
POINTS = 150


@dataclass(frozen=True)
class Curve:
    """Sorted latencies in seconds. `colour` None is the ideal; `dash` counts from 0."""

    name: str
    latencies: list
    colour: object = None
    dash: int = 0


@dataclass(frozen=True)
class Panel:
    title: str
    curves: list


def svg(panels) -> str:
    """One panel under the other, each with its legend."""
    total = len(panels) * (TOP + HEIGHT + BOTTOM + BETWEEN)
    width = LEFT + WIDTH + LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" '
        f'height="{total}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Latency of the fast requests by percentile</title>",
        f'<rect width="{width}" height="{total}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {number * (TOP + HEIGHT + BOTTOM + BETWEEN) + TOP})">')
        parts += _panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> list:
    finite = [value for curve in panel.curves for value in curve.latencies if value < math.inf]
    if not finite:
        return []
    low = 10 ** math.floor(math.log10(max(min(finite), 1e-6)))
    high = max(10 ** math.ceil(math.log10(max(finite))), 10 * low)

    def y(seconds: float) -> float:
        return HEIGHT * (1 - math.log10(max(seconds, low) / low) / math.log10(high / low))

    parts = [f'<text x="{LEFT}" y="-14" font-size="14">{escape(panel.title)}</text>', *_axes(low, high, y)]
    # The legend stands in the order of the curves' right ends, worst first.
    ranked = sorted(panel.curves, key=lambda curve: -percentile(curve.latencies, 0.99))
    for place, curve in enumerate(ranked):
        colour = "black" if curve.colour is None else COLOURS[curve.colour % len(COLOURS)]
        dash = DASHES[curve.dash % len(DASHES)]
        style = f'fill="none" stroke="{colour}" stroke-width="{2.5 if curve.colour is None else 1.6}"'
        style += f' stroke-dasharray="{dash}"' if dash else ""
        points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in _points(curve.latencies))
        parts.append(f'<polyline points="{points}" {style}/>')
        row, left = 10 + 18 * place, LEFT + WIDTH + 16
        parts.append(f'<line x1="{left}" y1="{row}" x2="{left + 26}" y2="{row}" {style}/>')
        parts.append(f'<text x="{left + 32}" y="{row + 4}">{escape(curve.name)}</text>')
    return parts


def _axes(low: float, high: float, y) -> list:
    parts = []
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = y(10**exponent)
        label = f"{10**exponent * 1000:g} ms" if exponent < 0 else f"{10**exponent:g} s"
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{LEFT + WIDTH}" y2="{at:.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    for share in TICKS:
        at = _x(share)
        label = f"{share * 100:g} %"
        parts.append(f'<line x1="{at:.1f}" y1="0" x2="{at:.1f}" y2="{HEIGHT}" stroke="#eee"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT + 18}" text-anchor="middle">{label}</text>')
    middle = LEFT + WIDTH / 2
    text = "share of the fast requests that took no longer"
    return parts + [f'<text x="{middle}" y="{HEIGHT + 36}" text-anchor="middle">{text}</text>']


def _x(share: float) -> float:
    return LEFT - math.log10(1 - share) / -math.log10(1 - TICKS[-1]) * WIDTH


def _points(latencies):
    """(x, seconds), evenly spread along the axis, up to the first request that was never answered."""
    last = -math.log10(1 - TICKS[-1])
    for step in range(POINTS + 1):
        share = 1 - 10 ** (-last * step / POINTS)
        value = percentile(latencies, share)
        # A percentile of fewer requests than it divides into would only repeat the slowest.
        if not value < math.inf or share * len(latencies) > len(latencies) - 1:
            return
        yield _x(share), value
