"""Watching files for changes, for workers and extensions that do it by themselves.

The setting `reload` does not need this module: the server watches files itself.
"""

import glob
import os
import re
import sys
import threading
import time

from gunicorn import util

COMPILED_EXT_RE = re.compile(r"py[co]$")


class ReloaderBase(threading.Thread):
    """A thread that knows which files the program consists of."""

    def __init__(self, extra_files=None, interval=1, callback=None):
        super().__init__(daemon=True)
        entries = set(extra_files or ())
        self._extra_patterns = {entry for entry in entries if util.is_glob_pattern(entry)}
        self._extra_files = entries - self._extra_patterns
        self._interval = interval
        self._callback = callback

    def add_extra_file(self, filename):
        self._extra_files.add(filename)

    def get_files(self):
        """All modules' files, the extra ones, and what the patterns match by now."""
        paths = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        files = [COMPILED_EXT_RE.sub("py", path) for path in paths if path]
        files.extend(self._extra_files)
        for pattern in self._extra_patterns:
            files.extend(sorted(glob.glob(pattern, recursive=True)))
        return files


class Reloader(ReloaderBase):
    """Looks at the files' times of modification again and again."""

    def run(self):
        known = {}
        while True:
            for path in self.get_files():
                try:
                    modified = os.stat(path).st_mtime
                except OSError:
                    # Gone, or never was a file.
                    continue
                if modified > known.setdefault(path, modified) and self._callback:
                    self._callback(path)
            time.sleep(self._interval)


class InotifyReloader:
    def __init__(self, extra_files=None, callback=None):
        raise ImportError(
            "rgunicorn has no gunicorn.reloader.InotifyReloader: use Reloader, or the setting reload."
        )


preferred_reloader = Reloader

reloader_engines = {"auto": Reloader, "poll": Reloader, "inotify": InotifyReloader}
