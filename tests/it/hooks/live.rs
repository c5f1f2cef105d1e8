//! What hooks see is what is so, and what they set takes effect.

use nix::sys::signal::Signal;

use super::record::Record;
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_both_servers!(
    size_set_by_hooks_and_threads,
    retirement_by_a_hook,
    limits_set_by_hooks,
    signals_to_workers,
    applications_loaded_by_hooks,
    applications_wrapped_by_hooks,
    objects,
    masters_know_each_other,
);
on_rgunicorn!(what_the_master_sees_of_a_worker, progress, absent_names, hooks_from_a_reload_on);

/// Writes to the file that [`Record`] reads.
const PUT: &str = "import os, signal, threading, time\nRECORD = os.path.abspath('record')\n\
    def put(*words):\n    \
    with open(RECORD, 'a') as file: print(os.getpid(), *words, file=file)\n";

/// A server with these lines in its conf file.
fn serve(kind: ServerKind, conf: &str, args: &[&str]) -> (Server, Record) {
    let builder = Builder::new(kind).file("gunicorn.conf.py", &format!("{PUT}{conf}"));
    let record = Record::of(&builder);
    (builder.args(args).app("supervised:app").start(), record)
}

/// Waits until there are so many workers, and all of them serve.
#[track_caller]
fn wait_serving(server: &Server, count: usize) -> Vec<i32> {
    until(BOUND, &format!("{count} workers that serve"), || {
        let workers = server.workers();
        let log = server.log.text();
        let loaded = |pid: &i32| log.contains(&format!("note: loaded in {pid}\n"));
        (workers.len() == count && workers.iter().all(loaded)).then_some(workers)
    })
}

/// By `on_starting`, then by a thread that lives on while the master waits.
fn size_set_by_hooks_and_threads(kind: ServerKind) {
    let (mut server, record) = serve(
        kind,
        "def on_starting(server): server.num_workers += 1\n\
         def nworkers_changed(server, new, old): put('size', new, old, server.num_workers)\n\
         def watch(server):\n    \
         while not os.path.exists(RECORD + '.go'): time.sleep(0.01)\n    \
         server.num_workers = 3\n    \
         while len(server.WORKERS) != 3: time.sleep(0.01)\n    \
         put('three')\n    \
         server.num_workers = 1\n    \
         while len(server.WORKERS) != 1: time.sleep(0.01)\n    \
         put('one', *server.WORKERS)\n\
         def when_ready(server): threading.Thread(target=watch, args=[server], daemon=True).start()\n",
        &[],
    );
    wait_serving(&server, 2);
    std::fs::write(server.dir().join("record.go"), "").expect("the directory is writable");
    record.wait("three", 1);
    record.wait("one ", 1);
    let left = server.wait_workers(1);
    // TTIN counts from there.
    server.signal(Signal::SIGTTIN);
    record.wait("size 2 1", 1);
    let both = wait_serving(&server, 2);
    assert!(both.contains(&left[0]));
    let expected = [
        "size 1 None 1",
        "size 2 1 2",
        "size 3 2 3",
        "three",
        "size 1 3 1",
        &format!("one {}", left[0]),
        "size 2 1 2",
    ];
    assert_eq!(record.of_process(server.pid()), expected);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

/// `worker.alive = False` lets the worker finish; another one takes its place.
fn retirement_by_a_hook(kind: ServerKind) {
    for args in [&["-k", "sync"][..], &["--threads", "2"]] {
        let (server, record) = serve(
            kind,
            "def post_request(worker, req):\n    \
             if req.path == '/pid' and worker.age == 1: worker.alive = False\n\
             def worker_exit(server, worker): put('exit', worker.age, worker.alive, worker.nr)\n",
            args,
        );
        let first = wait_serving(&server, 1)[0];
        assert_eq!(server.get("/pid").text(), first.to_string());
        record.wait("exit 1 False ", 1);
        let second = until(BOUND, "another worker", || {
            server.workers().into_iter().find(|pid| *pid != first)
        });
        assert_eq!(server.get("/pid").text(), second.to_string());
        assert!(!server.log.text().contains("exited with code"), "{}", server.log.text());
    }
}

/// A hook may stagger what `max_requests` says.
fn limits_set_by_hooks(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "max_requests = 100\nmax_requests_jitter = 5\n\
         def pre_fork(server, worker):\n    \
         put('limit', 100 <= worker.max_requests <= 105)\n    \
         if worker.age == 1: worker.max_requests = 2\n\
         def worker_exit(server, worker): put('exit', worker.age, worker.nr)\n",
        &[],
    );
    wait_serving(&server, 1);
    for _ in 0..2 {
        assert_eq!(server.get("/pid").status, 200);
    }
    record.wait("exit 1 2", 1);
    record.wait("limit True", 2);
    server.log.wait_for("Autorestarting worker after current request.");
}

fn signals_to_workers(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "def watch(server):\n    \
         while not os.path.exists(RECORD + '.go'): time.sleep(0.01)\n    \
         server.kill_workers(signal.SIGUSR1)\n    \
         for pid in list(server.WORKERS): server.kill_worker(pid, signal.SIGTERM)\n    \
         put('sent')\n\
         def when_ready(server): threading.Thread(target=watch, args=[server], daemon=True).start()\n\
         def child_exit(server, worker): put('gone', worker.age)\n",
        &["-w", "2"],
    );
    let before = wait_serving(&server, 2);
    std::fs::write(server.dir().join("record.go"), "").expect("the directory is writable");
    record.wait("gone ", 2);
    let after = until(BOUND, "two other workers", || {
        let after = server.workers();
        (after.len() == 2 && !after.iter().any(|pid| before.contains(pid))).then_some(after)
    });
    assert!(after.contains(&server.get("/pid").text().parse().expect("a pid")));
}

/// What a hook has loaded is what is served.
fn applications_loaded_by_hooks(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "def post_fork(server, worker):\n    \
         put('app', worker.app.callable, worker.app is server.app, callable(worker.app.wsgi()))\n\
         def post_worker_init(worker):\n    \
         assert worker.wsgi is worker.app.wsgi()\n    \
         put('wsgi', worker.wsgi.__name__)\n",
        &[],
    );
    let worker = wait_serving(&server, 1)[0];
    record.wait("wsgi ", 1);
    assert_eq!(record.of_process(worker), ["app None True True", "wsgi app"]);
    let (server, record) = serve(
        kind,
        "preload_app = True\n\
         def when_ready(server): put('app', server.app.callable.__name__)\n\
         def post_worker_init(worker): put('wsgi', worker.wsgi is worker.app.callable)\n",
        &[],
    );
    record.wait("wsgi True", 1);
    assert_eq!(record.of_process(server.pid()), ["app app"]);
}

/// What a hook wraps around the application is served.
fn applications_wrapped_by_hooks(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "def post_worker_init(worker):\n    \
         inner = worker.wsgi\n    \
         def wrapped(environ, start_response):\n        \
         put('wrapped', environ['PATH_INFO'], worker.app.callable is inner)\n        \
         return inner(environ, start_response)\n    \
         worker.wsgi = wrapped\n",
        &[],
    );
    server.get("/pid");
    record.wait("wrapped /pid True", 1);
}

/// Two masters at the same sockets (USR2), of which either may be the one to stay.
fn masters_know_each_other(kind: ServerKind) {
    let conf = "proc_name = 'shop'\n\
        def put_masters(name, server):\n    \
        put(name, server.master_pid, server.master_name, server.reexec_pid, server.proc_name)\n\
        def on_starting(server): put_masters('start', server)\n\
        def pre_fork(server, worker): put_masters('fork %d' % worker.age, server)\n";
    let builder = Builder::new(kind).file("gunicorn.conf.py", &format!("{PUT}{conf}"));
    let record = Record::of(&builder);
    // In a new master gunicorn would look for the conf file where `chdir` leads to.
    let app = "import os\nos.write(2, b'note: loaded in time\\n')\napp = print\n";
    let builder = builder.in_own_dir().app("idle:app").file("idle.py", app);
    let mut server = builder.binding("unix:web.sock").start_ready(1);
    let old = server.pid();
    let upgrade = |count| {
        let mark = server.log.mark();
        server.signal(Signal::SIGUSR2);
        let line = server.log.wait_for_since(mark, "Listening at: ");
        let (_, pid) = line.rsplit_once('(').expect("a process id");
        let new: i32 = pid.trim_end_matches(')').parse().expect("a process id");
        let expected =
            [format!("start {old} Master.2 0 shop.2"), format!("fork 1 {old} Master.2 0 shop.2")];
        record.wait(&expected[1], count);
        assert_eq!(record.of_process(new), expected);
        new
    };
    let new = upgrade(1);
    server.signal(Signal::SIGTTIN);
    record.wait(&format!("fork 2 0 Master {new} shop"), 1);
    process::signal(new, Signal::SIGTERM);
    until(BOUND, "the new master to be reaped", || {
        (!std::path::Path::new(&format!("/proc/{new}")).exists()).then_some(())
    });
    server.signal(Signal::SIGTTIN);
    record.wait("fork 3 0 Master 0 shop", 1);
    let new = upgrade(2);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_for("Master has been promoted.");
    process::signal(new, Signal::SIGTTIN);
    record.wait("fork 2 0 Master 0 shop", 1);
    process::signal(new, Signal::SIGTERM);
    until(BOUND, "the end of the new master", || (!process::is_alive(new)).then_some(()));
}

/// Attributes that are the same in both servers.
fn objects(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "from gunicorn.arbiter import Arbiter\nfrom gunicorn.workers.base import Worker\n\
         from gunicorn import sock\n\
         proc_name = 'shop'\ntimeout = 7\npidfile = RECORD + '.pid'\n\
         def when_ready(server):\n    \
         put(Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR, isinstance(server, Arbiter))\n    \
         put(server.proc_name, server.timeout, server.cfg.timeout, server.cfg.workers)\n    \
         put(server.master_pid, server.master_name, server.reexec_pid, server.systemd)\n    \
         put(server.pidfile.fname == pidfile, server.pidfile.pid == server.pid)\n    \
         put(server.SIG_NAMES[signal.SIGHUP], signal.SIGTTIN in server.SIGNALS)\n    \
         put(server.worker_class.__name__, server.START_CTX['args'][-1], server.address)\n    \
         put(len(server._stats), server.dirty_arbiter_pid)\n    \
         [listener] = server.LISTENERS\n    \
         put(listener, listener.FAMILY.name, type(listener).__name__, listener.getsockname()[0])\n    \
         put(isinstance(listener, sock.TCPSocket), listener.fileno() > 2)\n    \
         server.log.info('from %s', 'when_ready')\n    \
         server.log.error('%d%%', 5)\n\
         def pre_fork(server, worker):\n    \
         put(worker, isinstance(worker, Worker), worker.ppid == server.pid, worker.timeout)\n    \
         put(worker.sockets == server.LISTENERS, worker.cfg is server.cfg, worker.log is server.log)\n    \
         put(worker.PIPE, worker.reloader, worker.nr, hasattr(worker, 'wsgi'))\n\
         def post_worker_init(worker):\n    \
         before = time.monotonic()\n    \
         worker.notify()\n    \
         last = worker.tmp.last_update()\n    \
         stat = os.fstat(worker.tmp.fileno()).st_mtime\n    \
         put(before - 1 < last < before + 1, abs(stat - last) < 1, worker)\n",
        &[],
    );
    let worker = wait_serving(&server, 1)[0];
    server.log.wait_for("[INFO] from when_ready");
    server.log.wait_for("[ERROR] 5%");
    let address = server.addr;
    let expected = [
        "3 4 True",
        "shop 7 7 1",
        "0 Master 0 True",
        "True True",
        "hup True",
        "SyncWorker supervised:app [('127.0.0.1', 8000)]",
        "4 0",
        &format!("http://{address} AF_INET TCPSocket 127.0.0.1"),
        "True True",
        "<Worker [booting]> True True 3.5",
        "True True True",
        "[] None 0 False",
    ];
    assert_eq!(record.of_process(server.pid()), expected);
    record.wait("True True <Worker ", 1);
    assert_eq!(record.of_process(worker), [format!("True True <Worker {worker}>")]);
}

/// gunicorn's master has a copy of the worker as it was before the fork.
fn what_the_master_sees_of_a_worker(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "def watch(server):\n    \
         while not os.path.exists(RECORD + '.go'): time.sleep(0.01)\n    \
         [worker] = server.WORKERS.values()\n    \
         put(worker.nr, worker.booted, worker.alive)\n    \
         while time.monotonic() - worker.tmp.last_update() < 0.2: time.sleep(0.01)\n    \
         put('busy')\n\
         def when_ready(server): threading.Thread(target=watch, args=[server], daemon=True).start()\n\
         def child_exit(server, worker): put('gone', worker.nr, worker.booted, worker.alive)\n",
        &[],
    );
    let worker = wait_serving(&server, 1)[0];
    for _ in 0..3 {
        assert_eq!(server.get("/pid").status, 200);
    }
    std::fs::write(server.dir().join("record.go"), "").expect("the directory is writable");
    record.wait("3 True True", 1);
    let mut client = server.connect();
    client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\n\r\n");
    record.wait("busy", 1);
    process::signal(worker, Signal::SIGKILL);
    record.wait("gone 4 True False", 1);
}

/// A request that says that it goes on is not stuck.
fn progress(kind: ServerKind) {
    let app = "import os, time\n\
               def app(environ, start_response):\n    \
               end = time.monotonic() + 2\n    \
               while time.monotonic() < end:\n        \
               time.sleep(0.1)\n        \
               environ['worker'].notify()\n    \
               start_response('200 OK', [])\n    \
               return [b'done']\n";
    let conf = "timeout = 1\n\
                def post_worker_init(worker):\n    \
                global WORKER\n    WORKER = worker\n";
    // The application finds its worker in the module of the conf file.
    let app = app.replace("environ['worker']", "__import__('__config__').WORKER");
    let builder = Builder::new(kind).in_own_dir().file("slow.py", &app);
    let server = builder.file("gunicorn.conf.py", conf).app("slow:app").start();
    assert_eq!(server.get("/").text(), "done");
    assert!(!server.log.text().contains("TIMEOUT"), "{}", server.log.text());
}

/// What there is not says what to do instead.
fn absent_names(kind: ServerKind) {
    let (server, record) = serve(
        kind,
        "def told(function):\n    \
         try: function()\n    \
         except (AttributeError, RuntimeError, ValueError) as error: put(type(error).__name__, error)\n\
         def when_ready(server):\n    \
         told(lambda: server.stop())\n    \
         told(lambda: server.nothing)\n    \
         told(lambda: type(server)(server.app))\n    \
         told(lambda: setattr(server, 'num_workers', 'many'))\n\
         def post_worker_init(worker):\n    \
         told(lambda: worker.tpool)\n    \
         told(lambda: worker.nothing)\n",
        &[],
    );
    let worker = wait_serving(&server, 1)[0];
    record.wait("AttributeError 'SyncWorker'", 1);
    let calls = record.of_process(server.pid());
    assert!(calls[0].starts_with("AttributeError rgunicorn's master has no method 'stop': "));
    assert_eq!(calls[1], "AttributeError 'Arbiter' object has no attribute 'nothing'");
    assert!(
        calls[2].starts_with("RuntimeError no server can be started in the process of another one")
    );
    assert_eq!(calls[3], "ValueError num_workers is a number of workers, not 'many'");
    let calls = record.of_process(worker);
    assert!(calls[0].starts_with("AttributeError rgunicorn's workers have no 'tpool': "));
    assert_eq!(calls[1], "AttributeError 'SyncWorker' object has no attribute 'nothing'");
}

/// A reload may bring the first hooks there are; they know the workers that were there before.
fn hooks_from_a_reload_on(kind: ServerKind) {
    let (server, record) = serve(kind, "", &["-w", "2"]);
    let before = wait_serving(&server, 2);
    let conf = format!(
        "{PUT}def on_reload(server): put('reload', *sorted(server.WORKERS), len(server.LISTENERS))\n\
         def child_exit(server, worker): put('gone', worker.age, worker.pid)\n"
    );
    std::fs::write(server.dir().join("gunicorn.conf.py"), conf).expect("the file is writable");
    server.signal(Signal::SIGHUP);
    record.wait("gone ", 2);
    let calls = record.of_process(server.pid());
    assert_eq!(calls[0], format!("reload {} {} 1", before[0], before[1]));
    for (age, pid) in (1..).zip(before) {
        assert!(calls.contains(&format!("gone {age} {pid}")), "{calls:?}");
    }
}
