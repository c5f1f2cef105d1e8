"""A logger that also sends metrics to a StatsD server: what `gunicorn.instrument.statsd` offers."""

import logging
import socket

from gunicorn.glogging import Logger

# Keys of `extra` in calls of the log methods, by which anybody may send a metric.
METRIC_VAR = "metric"
VALUE_VAR = "value"
MTYPE_VAR = "mtype"
GAUGE_TYPE = "gauge"
COUNTER_TYPE = "counter"
HISTOGRAM_TYPE = "histogram"
TIMER_TYPE = "timer"


class Statsd(Logger):
    """Counts records and requests. What cannot be sent is lost: no request waits for it."""

    _followed = None

    def setup(self, cfg):
        # What somebody has set instead stays until the configuration changes.
        wanted = (cfg.statsd_host, cfg.statsd_prefix, cfg.dogstatsd_tags)
        if wanted != self._followed:
            self._followed = wanted
            self._follow(*wanted)
        super().setup(cfg)

    def _follow(self, address, prefix, tags):
        # As gunicorn has it: a single character gets no dot.
        name = prefix.rstrip(".")
        self.prefix = name + "." if len(name) > 1 else prefix
        self.dogstatsd_tags = tags or None
        try:
            self.sock = self._connect(address)
        except OSError:
            self.sock = None

    @staticmethod
    def _connect(address):
        if not address:
            return None
        if isinstance(address, str):
            attempts = [(socket.AF_UNIX, address)]
        else:
            found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)
            attempts = [(family, target) for family, _, _, _, target in found]
        failure = OSError("no address")
        for family, target in attempts:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.connect(target)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def critical(self, msg, *args, **kwargs):
        super().critical(msg, *args, **kwargs)
        self.increment("gunicorn.log.critical", 1)

    def error(self, msg, *args, **kwargs):
        super().error(msg, *args, **kwargs)
        self.increment("gunicorn.log.error", 1)

    def warning(self, msg, *args, **kwargs):
        super().warning(msg, *args, **kwargs)
        self.increment("gunicorn.log.warning", 1)

    def exception(self, msg, *args, **kwargs):
        super().exception(msg, *args, **kwargs)
        self.increment("gunicorn.log.exception", 1)

    def info(self, msg, *args, **kwargs):
        self.log(logging.INFO, msg, *args, **kwargs)

    def debug(self, msg, *args, **kwargs):
        self.log(logging.DEBUG, msg, *args, **kwargs)

    def log(self, lvl, msg, *args, **kwargs):
        """Log a message, send the metric in `extra`, or both."""
        try:
            extra = kwargs.get("extra") or {}
            metric, value, kind = (extra.get(key) for key in (METRIC_VAR, VALUE_VAR, MTYPE_VAR))
            send = {
                GAUGE_TYPE: self.gauge,
                COUNTER_TYPE: self.increment,
                HISTOGRAM_TYPE: self.histogram,
                TIMER_TYPE: self.timer,
            }.get(kind)
            if metric and value is not None and send is not None:
                send(metric, value)
            if msg:
                super().log(lvl, msg, *args, **kwargs)
        except Exception:
            super().warning("Failed to log to statsd", exc_info=True)

    def access(self, resp, req, environ, request_time):
        super().access(resp, req, environ, request_time)
        self.timer("gunicorn.request.duration", round(request_time.total_seconds() * 1000, 3))
        self.increment("gunicorn.requests", 1)
        status = resp.status
        if isinstance(status, bytes):
            status = status.decode("utf-8")
        if isinstance(status, str):
            status = status.partition(" ")[0]
        if status is not None:
            self.increment("gunicorn.request.status.%s" % status, 1)

    def gauge(self, name, value):
        self._send("%s:%s|g" % (name, value))

    def increment(self, name, value, sampling_rate=1.0):
        self._send("%s:%s|c|@%s" % (name, value, sampling_rate))

    def decrement(self, name, value, sampling_rate=1.0):
        self._send("%s:-%s|c|@%s" % (name, value, sampling_rate))

    def timer(self, name, value):
        self._send("%s:%s|ms" % (name, value))

    def histogram(self, name, value):
        self._send("%s:%s|h" % (name, value))

    def _send(self, metric):
        self._sock_send(self.prefix + metric)

    def _sock_send(self, msg):
        try:
            if isinstance(msg, str):
                msg = msg.encode("ascii")
            if self.dogstatsd_tags:
                msg += b"|#" + self.dogstatsd_tags.encode("ascii")
            if self.sock is not None:
                self.sock.send(msg)
        except Exception:
            # Not by `warning`, which would send a metric in its turn.
            Logger.warning(self, "Error sending message to statsd", exc_info=True)
