"""Workers that take several requests at a time, in threads."""

from gunicorn.workers.base import Worker


class ThreadWorker(Worker):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.worker_connections = self.cfg.worker_connections
        self.max_keepalived = self.cfg.worker_connections - self.cfg.threads
