//! `prometheus_client` in its multiprocess mode, and the classes for gunicorn of
//! `prometheus_flask_exporter`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::BOUND;
use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, Client, Server, ServerKind, process, until};

on_both_servers!(
    a_dead_worker_is_marked,
    exporter_with_a_server_of_its_own,
    exporter_in_the_application
);

/// A server with a directory for what its processes count.
fn counting(kind: ServerKind, app: &str, conf: &str) -> Builder {
    let builder = Builder::new(kind).in_own_dir().file("counting.py", app).app("counting:app");
    let counts = builder.dir().join("counts");
    fs::create_dir(&counts).expect("the directory is writable");
    builder.file("gunicorn.conf.py", conf).env("PROMETHEUS_MULTIPROC_DIR", counts)
}

/// The files of a process.
fn files(server: &Server, pid: i32) -> Vec<String> {
    let entries = fs::read_dir(server.dir().join("counts")).expect("there is the directory");
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(&format!("_{pid}.db"))).collect();
    names.sort();
    names
}

/// The pid of the worker that answered.
#[track_caller]
fn worker(server: &Server) -> i32 {
    server.get("/").text().parse().expect("the answer is the worker's process id")
}

fn a_dead_worker_is_marked(kind: ServerKind) {
    let app = "import os\n\
               from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest\n\
               from prometheus_client.multiprocess import MultiProcessCollector\n\
               requests = Counter('requests', 'x')\n\
               live = Gauge('alive', 'x', multiprocess_mode='livesum')\n\
               def app(environ, start_response):\n\
               \x20   start_response('200 OK', [])\n\
               \x20   if environ['PATH_INFO'] == '/metrics':\n\
               \x20       registry = CollectorRegistry()\n\
               \x20       MultiProcessCollector(registry)\n\
               \x20       return [generate_latest(registry)]\n\
               \x20   requests.inc()\n\
               \x20   live.set(1)\n\
               \x20   return [str(os.getpid()).encode()]\n";
    let conf = "from prometheus_client import multiprocess\n\
                def child_exit(server, worker):\n\
                \x20   multiprocess.mark_process_dead(worker.pid)\n\
                \x20   server.log.info('marked %s', worker.pid)\n";
    let server = counting(kind, app, conf).start();
    let first = worker(&server);
    let mark = format!("gauge_livesum_{first}.db");
    assert_eq!(files(&server, first), [format!("counter_{first}.db"), mark]);
    process::signal(first, Signal::SIGKILL);
    server.log.wait_for(&format!("marked {first}"));
    assert_eq!(files(&server, first), [format!("counter_{first}.db")]);
    let second = worker(&server);
    assert_ne!(first, second);
    let text = server.get("/metrics").text();
    assert!(text.contains("requests_total 2.0\n") && text.contains("alive 1.0\n"), "{text}");
}

fn exporter_with_a_server_of_its_own(kind: ServerKind) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let addr = listener.local_addr().expect("a bound socket has an address");
    drop(listener);
    let app = "import flask, os\n\
               from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics\n\
               app = flask.Flask(__name__)\n\
               GunicornPrometheusMetrics(app)\n\
               @app.route('/')\n\
               def view(): return str(os.getpid())\n";
    let conf = format!(
        "from prometheus_flask_exporter.multiprocess import GunicornPrometheusMetrics as Metrics\n\
         def when_ready(server):\n\
         \x20   Metrics.start_http_server_when_ready({}, host='127.0.0.1')\n\
         def child_exit(server, worker):\n\
         \x20   Metrics.mark_process_dead_on_child_exit(worker.pid)\n\
         \x20   server.log.info('marked %s', worker.pid)\n",
        addr.port()
    );
    let server = counting(kind, app, &conf).start();
    let pid = worker(&server);
    // A thread of the master answers, which has nothing else to do.
    let text = until(BOUND, "the metrics", || {
        let mut client = Client::try_connect(addr).ok()?;
        let text = client.get("/metrics").text();
        text.contains("flask_http_request_total{").then_some(text)
    });
    let line = "flask_http_request_total{method=\"GET\",status=\"200\"} 1.0\n";
    assert!(text.contains(line), "{text}");
    process::signal(pid, Signal::SIGTERM);
    server.log.wait_for(&format!("marked {pid}"));
}

fn exporter_in_the_application(kind: ServerKind) {
    let app = "import flask, os\n\
               from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics\n\
               app = flask.Flask(__name__)\n\
               GunicornInternalPrometheusMetrics(app)\n\
               @app.route('/')\n\
               def view(): return str(os.getpid())\n";
    let conf = "from prometheus_flask_exporter import multiprocess\n\
                def child_exit(server, worker):\n\
                \x20   metrics = multiprocess.GunicornInternalPrometheusMetrics\n\
                \x20   metrics.mark_process_dead_on_child_exit(worker.pid)\n\
                \x20   server.log.info('marked %s', worker.pid)\n";
    let server = counting(kind, app, conf).args(["-w", "2"]).start();
    let pid = worker(&server);
    assert!(server.workers().contains(&pid));
    worker(&server);
    let text = server.get("/metrics").text();
    let line = "flask_http_request_total{method=\"GET\",status=\"200\"} 2.0\n";
    assert!(text.contains(line), "{text}");
    process::signal(pid, Signal::SIGTERM);
    server.log.wait_for(&format!("marked {pid}"));
    assert!(Path::new(&server.dir().join("counts")).exists());
}
