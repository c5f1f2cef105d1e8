"""What the command line programs here share: choices, sentences for failures, and no process left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from . import peers, procfs
from .machine import Missing


def chosen(parser, flag: str, text: str, known) -> list:
    """A comma-separated list of names, in the order of `known`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        parser.error(f"{flag}: {', '.join(unknown) or 'nothing chosen'}; choose from {', '.join(known)}")
    return [name for name in known if name in names]


def offer_binary(parser) -> None:
    parser.add_argument("--rgunicorn", metavar="PATH", help="use this binary instead of building one")


def binary(options) -> str:
    """The rgunicorn to measure: the one that was given, or else that of this tree."""
    return executable(options.rgunicorn) if options.rgunicorn else str(peers.build_release())


def executable(path: str) -> str:
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise Missing(f"{path} is not an executable file")
    return str(Path(path).resolve())


def run(name: str, main) -> int:
    """Runs `main` and returns the exit status."""
    # A plain kill ends the servers as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except Missing as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        end_descendants()
    return 0


def end_descendants() -> None:
    """Kills what a signal at an unlucky moment kept from being ended in order."""
    for pid in procfs.tree(os.getpid())[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
