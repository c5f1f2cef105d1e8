"""What `importlib.metadata` says of gunicorn."""

import sys
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder, distribution

# The one whose behaviour rgunicorn has.
VERSION = "27.0.1"


class Gunicorn(Distribution):
    """A distribution `gunicorn`, which is not there."""

    def read_text(self, filename):
        if filename in ("METADATA", "PKG-INFO"):
            return "Metadata-Version: 2.1\nName: gunicorn\nVersion: %s\n" % VERSION
        if filename == "entry_points.txt":
            return "[console_scripts]\ngunicorn = gunicorn.app.wsgiapp:run\n"
        return None

    def locate_file(self, path):
        return distribution("rgunicorn-as-gunicorn").locate_file(path)


def distributions(context, wanted):
    """The distribution, unless the real one is there and ours is not wanted. Whoever lists all there are, as pip
    does before it removes one, is told of the real one only."""
    if is_installed(context) and not (wanted and getattr(context, "name", None)):
        return []
    return [Gunicorn()]


def is_installed(context):
    """Whether gunicorn itself is, here or where somebody looks: pip asks about one directory at a time."""
    places = sys.path + list(getattr(context, "path", ()))
    real = DistributionFinder.Context(name="gunicorn", path=places)
    return any(True for _ in MetadataPathFinder.find_distributions(real))
