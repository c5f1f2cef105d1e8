"""A WSGI server that takes gunicorn's place.

It is started by the command `rgunicorn`, or `python -m rgunicorn`.
"""

from rgunicorn._rgunicorn import __version__, main

__all__ = ["__version__", "main"]
