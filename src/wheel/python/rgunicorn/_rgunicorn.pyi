from collections.abc import Sequence
from typing import Any, Optional

__version__: str

def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the server with these arguments, those of the process by default, until it is stopped.

    Returns the exit status. To be called in the main thread of a process that is to be the server: it
    handles the signals of the process and changes its title and its working directory.
    """

def run(program: Any) -> int:
    """Run the server for an object of a class derived from `gunicorn.app.base.BaseApplication`, as its
    method `run` does."""

def provide_gunicorn() -> Any:
    """Make the package `gunicorn` importable in this process: rgunicorn's own. Returns its finder."""
