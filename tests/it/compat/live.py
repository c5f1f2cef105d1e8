"""A conf file that says what the configuration is that a hook gets; see `package.rs`."""

import json
import os
import sys

import gunicorn.glogging
import gunicorn.workers.sync
from gunicorn.config import Config

workers = 3
threads = 2
raw_env = ["SHOP=1", "TEA=a=b"]
user = os.getuid()
proc_name = "shop"
forwarded_allow_ips = "10.0.0.0/8, ::1"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
accesslog = None
errorlog = "-"
loglevel = "debug"
keepalive = 7
limit_request_line = 100
sendfile = False
pidfile = None
reload_extra_files = []
chdir = "/tmp"
WORKERS = 9


class Log(gunicorn.glogging.Logger):
    pass


logger_class = Log


def post_request(worker, req):
    return worker, req


def post_fork(server, worker):
    pass


EXPRESSIONS = r"""
type(cfg).__module__, type(cfg).__name__, isinstance(cfg, Config)
cfg.workers, cfg.threads, cfg.timeout, cfg.keepalive, cfg.backlog, cfg.limit_request_line
cfg.raw_env, cfg.env, cfg.env_orig.get("SHOP"), "PATH" in cfg.env_orig, cfg.env_orig.get("SERVER_SOFTWARE")
cfg.uid == os.getuid(), cfg.gid == os.getgid(), cfg.user == os.getuid()
cfg.proc_name, cfg.default_proc_name, cfg.wsgi_app, cfg.chdir, cfg.config
cfg.forwarded_allow_ips, cfg.forwarded_allow_networks(), cfg.proxy_allow_networks()
cfg.secure_scheme_headers, cfg.accesslog, cfg.errorlog, cfg.loglevel, cfg.access_log_format
cfg.sendfile, cfg.pidfile, cfg.statsd_prefix, cfg.statsd_host, cfg.reload_extra_files
cfg.worker_class.__name__, cfg.worker_class_str, cfg.settings["worker_class"].value
cfg.logger_class is Log, cfg.settings["logger_class"].get() is Log, cfg.logconfig_dict
cfg.post_request(1, 2, 3, 4), cfg.post_fork is post_fork, cfg.pre_fork(1, 2), cfg.when_ready.__qualname__
cfg.bind, cfg.address, cfg.umask, cfg.daemon, cfg.reuse_port, cfg.preload_app
cfg.is_ssl, cfg.ssl_options["certfile"], cfg.http_protocols, cfg.paste_global_conf
cfg.WORKERS
sorted(name for name, setting in cfg.settings.items() if setting.name != name)
[cfg.settings[name].get() for name in ("max_requests", "max_requests_jitter", "worker_tmp_dir", "tmp_upload_dir")]
cfg.settings["bind"].section, cfg.settings["workers"].default, cfg.settings["workers"].cli
server.cfg.set("greeting", 1)
type(server.log).__name__, server.num_workers, server.timeout, server.proc_name, server.address
type(server).__module__, server.worker_class.__name__, server.WORKER_BOOT_ERROR, server.app.app_uri
os.environ.get("SHOP"), os.getcwd()
"""


def on_starting(server):
    cfg = server.cfg
    for expression in EXPRESSIONS.strip().splitlines():
        try:
            value = repr(eval(expression, globals(), {"cfg": cfg, "server": server}))
        except Exception as error:
            value = "%s: %s" % (type(error).__name__, error)
        print(json.dumps([expression, value]))
    sys.stdout.flush()
    os._exit(0)
