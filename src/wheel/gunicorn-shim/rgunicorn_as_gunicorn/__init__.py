"""Has `gunicorn` mean rgunicorn in this environment, unless gunicorn itself is installed here.

Nothing of it lies where gunicorn's files lie, except for the script `gunicorn`: pip would let two
distributions overwrite each other's files without a word. The module is found by a finder instead, which
a .pth file registers when Python starts.
"""

import os
import sys

# Asks for rgunicorn although gunicorn is installed.
VARIABLE = "RGUNICORN_AS_GUNICORN"


class Finder:
    """Finds the module `gunicorn`, and the metadata of a distribution of that name."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "gunicorn":
            return None
        from rgunicorn import _rgunicorn

        # It is asked by itself for what is in the package.
        return _rgunicorn.provide_gunicorn().find_spec(name)

    @staticmethod
    def find_distributions(context=None):
        name = getattr(context, "name", None)
        if name is not None and name.lower() != "gunicorn":
            return []
        from rgunicorn_as_gunicorn import _metadata

        return _metadata.distributions(context, is_wanted())


def is_wanted():
    """Whether rgunicorn is asked for even where gunicorn is installed."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def register():
    """Called when Python starts, twice in some environments. The finder comes behind the one that finds
    gunicorn itself, or in front of it."""
    if Finder in sys.meta_path:
        return
    sys.meta_path.insert(0 if is_wanted() else len(sys.meta_path), Finder)


def installed():
    """Where gunicorn itself is installed; None if it is not."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("gunicorn")
    return None if spec is None else spec.origin


def run():
    """The command `gunicorn`."""
    place = None if is_wanted() else installed()
    if place:
        sys.exit(
            "\nError: gunicorn itself is installed here too (%s), and rgunicorn-as-gunicorn does not take "
            "its place unasked. Set %s=1 to run rgunicorn; or uninstall one of the two, and install "
            "the other one again (pip install --force-reinstall --no-deps), because they share this command."
            % (place, VARIABLE)
        )
    from rgunicorn import main

    sys.exit(main())
