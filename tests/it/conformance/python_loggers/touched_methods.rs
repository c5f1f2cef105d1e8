//! Methods that hooks put in the place of those of `server.log` and `worker.log`, or other objects in the place
//! of these.

use std::net::UdpSocket;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind};

on_both_servers!(of_the_worker, of_the_server, of_the_class, other_objects, counted, to_syslog);

on_rgunicorn!(too_late);

fn builder(kind: ServerKind, conf: &str) -> Builder {
    Builder::new(kind).file("gunicorn.conf.py", conf).app("factories")
}

fn of_the_worker(kind: ServerKind) {
    let conf = "
def post_worker_init(worker):
    def access(resp, req, environ, request_time):
        print('mine', req.method, environ['RAW_URI'], resp.status, flush=True)
    worker.log.access = access
    worker.log.error_log.info('in the hook')
";
    let mut server = builder(kind, conf).start();
    server.log.wait_for("[INFO] in the hook");
    server.get("/x");
    server.out.wait_for("mine GET /x 200 OK\n");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_for("[INFO] Worker exiting (pid: ");
}

/// In the master and in all workers, also after a reload.
fn of_the_server(kind: ServerKind) {
    let conf = "
accesslog = '-'
def when_ready(server):
    usual = server.log.info
    def info(msg, *args, **kwargs):
        usual('mine: ' + msg, *args, **kwargs)
    server.log.info = info
    server.log.now = lambda: 'now'
";
    let server = builder(kind, conf).start();
    server.log.wait_for("[INFO] mine: Booting worker with pid: ");
    assert!(server.log.text().contains("[INFO] Listening at: "));
    server.get("/x");
    server.out.wait_for(" - - now \"GET /x HTTP/1.1\" 200 ");
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "[INFO] mine: Handling signal: hup");
    server.log.wait_for_since(mark, "[INFO] mine: Booting worker with pid: ");
    server.log.wait_for_since(mark, "[INFO] mine: Worker exiting (pid: ");
    let mark = server.out.mark();
    server.get("/y");
    server.out.wait_for_since(mark, " - - now \"GET /y ");
}

/// Methods of gunicorn's class, replaced when its object is there: at the import of the application.
fn of_the_class(kind: ServerKind) {
    let app = "
from gunicorn.glogging import Logger
Logger.now = lambda self: 'now'
def app(environ, start_response):
    start_response('204 No Content', [])
    return []
";
    let server = Builder::new(kind)
        .in_own_dir()
        .file("patching.py", app)
        .args(["--access-logfile", "-"])
        .app("patching:app")
        .start();
    server.get("/x");
    server.out.wait_for(" - - now \"GET /x HTTP/1.1\" 204 ");
}

/// Another object in the place of `worker.log`.
fn other_objects(kind: ServerKind) {
    let conf = "
from gunicorn.glogging import Logger
class Mine(Logger):
    def info(self, msg, *args, **kwargs):
        super().info('mine: ' + msg, *args, **kwargs)
    def access(self, resp, req, environ, request_time):
        print('mine', req.method, environ['RAW_URI'], flush=True)
def post_fork(server, worker):
    worker.log = Mine(worker.cfg)
";
    let server = builder(kind, conf).start();
    server.get("/x");
    server.out.wait_for("mine GET /x\n");
    let mark = server.log.mark();
    server.get("/y");
    server.exchange("BAD\r\n\r\n");
    server.log.wait_for_since(mark, "[WARNING] Invalid request from ip=127.0.0.1: ");
}

/// Each metric once, whoever counts.
fn counted(kind: ServerKind) {
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    daemon.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    let address = daemon.local_addr().expect("it is bound").to_string();
    let conf = format!(
        "
import logging
statsd_host = {address:?}
accesslog = '-'
def post_fork(server, worker):
    for name in ('gunicorn.access', 'gunicorn.error'):
        logging.getLogger(name).addFilter(lambda record: 'nothing' not in record.getMessage())
"
    );
    let server = builder(kind, &conf).start();
    server.get("/x");
    server.exchange("BAD\r\n\r\n");
    let ask = |server: &Server, target: &str| {
        server.get(target);
        server.out.wait_for(target);
    };
    ask(&server, "/last");
    let mut seen = Vec::new();
    while seen.iter().filter(|metric| *metric == "gunicorn.requests:1|c|@1.0").count() < 2
        || !seen.iter().any(|metric| metric == "gunicorn.log.warning:1|c|@1.0")
    {
        let mut buffer = [0; 512];
        let count = daemon.recv(&mut buffer).expect("a metric");
        seen.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    let count = |wanted: &str| seen.iter().filter(|metric| metric.as_str() == wanted).count();
    assert_eq!(count("gunicorn.log.warning:1|c|@1.0"), 1, "{seen:?}");
    assert!(count("gunicorn.requests:1|c|@1.0") <= 3, "{seen:?}");
}

/// What a filter lets pass goes where the logs go.
fn to_syslog(kind: ServerKind) {
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    daemon.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    let address = format!("udp://{}", daemon.local_addr().expect("it is bound"));
    let conf = format!(
        "
import logging
syslog, syslog_addr, syslog_prefix = True, {address:?}, 'pre'
def post_fork(server, worker):
    for name in ('gunicorn.access', 'gunicorn.error'):
        logging.getLogger(name).addFilter(lambda record: '/health' not in record.getMessage())
"
    );
    let server = builder(kind, &conf).start();
    server.get("/health");
    server.exchange("GET /health HTTP/5.0\r\n\r\n");
    server.get("/x");
    let mut buffer = [0; 2000];
    loop {
        let count = daemon.recv(&mut buffer).expect("a datagram");
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(!text.contains("/health"), "{text}");
        if text.contains("GET /x HTTP/1.1") {
            assert!(text.starts_with("<14>gunicorn.pre.access: ["), "{text}");
            return;
        }
    }
}

/// While requests are served nobody looks any more, which is said where it can be.
fn too_late(kind: ServerKind) {
    let app = "
def app(environ, start_response):
    from gunicorn.glogging import Logger
    Logger.now = lambda self: 'now'
    start_response('204 No Content', [])
    return []
";
    let server = Builder::new(kind).in_own_dir().file("late.py", app).app("late:app").start();
    assert_eq!(server.get("/").status, 204);
    server
        .log
        .wait_for("[WARNING] gunicorn.glogging.Logger.now was assigned while requests are served");
}
