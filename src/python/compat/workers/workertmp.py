"""Signs of life of a worker. The server keeps them in memory that all its processes share."""

import os
import tempfile

from gunicorn import _native


class WorkerTmp:
    def __init__(self, cfg):
        self._native = _native.NO_WORKER
        self._directory = cfg.worker_tmp_dir
        self._file = None

    def last_update(self):
        """Since when the worker has not come back, in seconds of the monotonic clock. A worker that
        waits for requests shows that it is alive all the time."""
        return self._native.last_update()

    def notify(self):
        """As Worker.notify()."""
        self._native.notify()
        if self._file is not None:
            self._stamp()

    def fileno(self):
        """A descriptor, whose modification time is that of the last update known then."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="wgunicorn-", dir=self._directory)
        self._stamp()
        return self._file.fileno()

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _stamp(self):
        last = self.last_update()
        os.utime(self._file.fileno(), (last, last))
