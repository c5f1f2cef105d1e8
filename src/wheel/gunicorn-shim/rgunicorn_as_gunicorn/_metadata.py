"""What `importlib.metadata` says of gunicorn."""

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
    """The distribution, unless the real one is there and ours is not wanted."""
    path = {} if context is None else {"path": context.path}
    real = DistributionFinder.Context(name="gunicorn", **path)
    if not wanted and any(True for _ in MetadataPathFinder.find_distributions(real)):
        return []
    return [Gunicorn()]
