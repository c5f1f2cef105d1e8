"""A conf file that defines every hook and writes each call down: who was called where, with what.

A line has the process id, the hook and what is seen of its arguments. Whatever may differ from run to
run, such as process ids, is put into words.
"""

import os

RECORD = os.environ["RECORD"]


def put(hook, *seen):
    line = " ".join([str(os.getpid()), hook, *map(str, seen)]) + "\n"
    fd = os.open(RECORD, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)


def of_server(server):
    ages = sorted(worker.age for worker in server.WORKERS.values())
    assert all(pid == worker.pid for pid, worker in server.WORKERS.items())
    return "size=%s age=%s workers=%s listeners=%s" % (
        server.num_workers,
        server.worker_age,
        ",".join(map(str, ages)) or "-",
        len(server.LISTENERS),
    )


def of_worker(worker):
    pids = {"[booting]": "booting", os.getpid(): "own"}
    return "worker=%s pid=%s ppid=%s booted=%d alive=%d aborted=%d" % (
        worker.age,
        pids.get(worker.pid, "other"),
        {os.getpid(): "own", os.getppid(): "parent"}.get(worker.ppid, "other"),
        worker.booted,
        worker.alive,
        worker.aborted,
    )


def nworkers_changed(server, new_value, old_value):
    put("nworkers_changed", new_value, old_value, server.num_workers)


def on_starting(server):
    put("on_starting", of_server(server), "pid=%d" % (server.pid == os.getpid()))


def when_ready(server):
    put("when_ready", of_server(server))


def on_reload(server):
    put("on_reload", of_server(server))


def pre_exec(server):
    put("pre_exec")


def on_exit(server):
    put("on_exit", of_server(server))


def pre_fork(server, worker):
    worker.mark = "mark-%d" % worker.age
    put("pre_fork", of_server(server), of_worker(worker))


def post_fork(server, worker):
    put("post_fork", of_worker(worker), worker.mark)


def post_worker_init(worker):
    put("post_worker_init", of_worker(worker), worker.wsgi is worker.app.callable)


def worker_int(worker):
    put("worker_int", of_worker(worker))


def worker_abort(worker):
    put("worker_abort", of_worker(worker))


def child_exit(server, worker):
    put("child_exit", of_server(server), of_worker(worker), worker.mark)


def worker_exit(server, worker):
    put("worker_exit", of_worker(worker), "nr=%d" % worker.nr, worker.mark)


def pre_request(worker, req):
    req.note = "kept"
    put("pre_request", req.method, req.path, "nr=%d" % worker.nr)


def post_request(worker, req, environ, resp):
    put("post_request", req.method, req.path, req.note, "nr=%d" % worker.nr, resp.status)


def ssl_context(config, default_ssl_context_factory):
    put("ssl_context")
    return default_ssl_context_factory()
