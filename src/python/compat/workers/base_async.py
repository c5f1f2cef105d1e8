"""What workers of other packages derive their classes from."""

from gunicorn.workers.base import Worker

# What an application returns, in such a worker, when it has dealt with the connection by itself.
ALREADY_HANDLED = object()


class AsyncWorker(Worker):
    """Can be derived from. The server does not run such workers: its own take care of connections."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.worker_connections = self.cfg.worker_connections

    def timeout_ctx(self):
        raise NotImplementedError

    def is_already_handled(self, respiter):
        return respiter == ALREADY_HANDLED
