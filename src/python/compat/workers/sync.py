"""Workers that take one request at a time."""

from gunicorn.workers.base import Worker


class SyncWorker(Worker):
    pass
