#!/usr/bin/env python3
"""User-space instructions per request, counted by callgrind so that they repeat. See benches/README.md."""

from __future__ import annotations

import argparse
import sys

from harness import callgrind, machine, peers, profiles, report, script, servers

PROFILES = ("hello", "headers", "close", "flask", "django", "post")
SERVERS = ("rgunicorn", "bjoern")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS), help="which of: %(default)s")
    parser.add_argument(
        "--profiles", default="hello,headers,close", help=f"which of: {','.join(PROFILES)} (default %(default)s)"
    )
    parser.add_argument(
        "--requests",
        type=int,
        nargs=2,
        default=(1000, 5000),
        metavar=("FEW", "MANY"),
        help="requests of the two runs whose difference counts (default 1000 5000)",
    )
    parser.add_argument("--functions", type=int, default=25, help="rows of the function tables (default %(default)s)")
    script.offer_binary(parser)
    options = parser.parse_args()
    options.servers = script.chosen(parser, "--servers", options.servers, SERVERS)
    options.profiles = script.chosen(parser, "--profiles", options.profiles, PROFILES)
    if not 0 < options.requests[0] < options.requests[1]:
        parser.error("--requests: FEW must be at least 1 and less than MANY")
    return options


def functions(title: str, costs, total: float, rows: int) -> str:
    # What contains nearly everything (main, the event loop) says nothing.
    telling = [item for item in costs.items() if item[1] < 0.99 * total]
    top = sorted(telling, key=lambda item: -item[1])[:rows]
    body = [[f"`{name}`", f"{cost:,.1f}", f"{100 * cost / total:.1f} %"] for name, cost in top]
    return f"{title}\n\n" + report.table(["Function", "instructions/request", "share"], body)


def contestants(options, venv) -> dict:
    """Short name -> server."""
    found = {}
    if "rgunicorn" in options.servers:
        found["rgunicorn"] = servers.rgunicorn(script.binary(options))
    if "bjoern" in options.servers:
        found["bjoern"] = servers.peers(venv)["bjoern"]
    return found


def main() -> None:
    options = arguments()
    machine.require("valgrind", "valgrind")
    venv = peers.Venv()
    venv.prepare(options.servers)
    measured = contestants(options, venv)
    rows, details = [], []
    for key in options.profiles:
        profile = profiles.BY_KEY[key]
        row = [profile.title]
        for name, server in measured.items():
            total, exclusive, inclusive = callgrind.per_request(
                server, profile, options.requests, venv.environment()
            )
            peers.say(f"{key:8} {name:10} {total:10.1f} instructions/request")
            row.append(f"{total:,.0f}")
            details.append(f"### {name}: {profile.title}")
            details.append(functions("In the function itself:", exclusive, total, options.functions))
            details.append(functions("With what it calls:", inclusive, total, options.functions))
        rows.append(row)
    print("User-space instructions per request (the kernel's are not counted):\n")
    print(report.table(["Profile", *measured], rows))
    print("\n" + "\n\n".join(details))


if __name__ == "__main__":
    sys.exit(script.run("instructions.py", main))
