//! `logger_class`.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{builder, wait_line};
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Server, ServerKind, until};

on_both_servers!(
    subclass,
    class_in_a_conf_file,
    class_by_assignment,
    set_up_from_scratch,
    captured,
    metrics,
);

on_rgunicorn!(faults);

const SUBCLASS: &str = "
import logging
from gunicorn import glogging

class Atoms(glogging.SafeAtoms):
    def __getitem__(self, name):
        return 'mine' if name == 'mine' else super().__getitem__(name)

class Mine(glogging.Logger):
    error_fmt = 'mine: %(levelname)s %(message)s'
    datefmt = None
    atoms_wrapper_class = Atoms

    def setup(self, cfg):
        super().setup(cfg)
        self.seen = 0
        handler = self._get_gunicorn_handler(self.error_log)
        self.info('set up for %s with %s', cfg.proc_name, type(handler).__name__)

    def now(self):
        return '[now]'

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms['n'] = self.seen
        return atoms

    def access(self, resp, req, environ, request_time):
        if environ.get('PATH_INFO') == '/health':
            return
        self.seen += 1
        assert request_time.total_seconds() >= 0
        self.info('access %s %s %r', req.method, req.path, resp.status)
        super().access(resp, req, environ, request_time)

    def exception(self, msg, *args, **kwargs):
        import sys
        self.error('exception of type %s', sys.exc_info()[0].__name__)
        super().exception(msg, *args, **kwargs)

    def warning(self, msg, *args, **kwargs):
        super().warning('watch out: ' + msg, *args, **kwargs)
";

/// A subclass that overrides what subclasses override, by its dotted name.
fn subclass(kind: ServerKind) {
    let mut server = builder(kind)
        .file("mylog.py", SUBCLASS)
        .args(["--logger-class", "mylog.Mine", "--access-logfile", "-", "-n", "called"])
        .args(["--access-logformat", "%(n)s %(t)s %(mine)s %(nothing)s %(m)s %(U)s %({x-none}i)s"])
        .start();
    server.log.wait_for("mine: INFO set up for called with StreamHandler");
    server.log.wait_for("mine: INFO while importing: 1 handlers, level 20");
    server.get("/health");
    server.get("/first");
    server.log.wait_for("mine: INFO access GET /first '200 OK'");
    assert_eq!(server.out.wait_for("/first"), "1 [now] mine - GET /first -");
    assert!(!server.out.text().contains("/health"));
    server.get("/boom");
    server.log.wait_for("mine: ERROR exception of type ValueError");
    server.log.wait_for("mine: ERROR Error handling request GET /boom");
    server.log.wait_for("ValueError: boom");
    server.log.wait_for("mine: INFO access GET /boom '500 Internal Server Error'");
    server.exchange("GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    server.log.wait_for("mine: WARNING watch out: Invalid request from ip=127.0.0.1: ");
    server.log.wait_for("mine: INFO access GET /refused '400 Bad Request'");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_for("mine: INFO Worker exiting (pid: ");
    server.log.wait_for("mine: INFO Shutting down: Master");
}

/// A class object, with the class method by which it is announced.
fn class_in_a_conf_file(kind: ServerKind) {
    let conf = format!(
        "{SUBCLASS}\n    @classmethod\n    def install(cls):\n        print('installed', flush=True)\n\
         logger_class = Mine\naccesslog = '-'\n"
    );
    let server = builder(kind).file("c.py", &conf).args(["-c", "c.py"]).start();
    server.out.wait_for("installed");
    server.log.wait_for("mine: INFO while importing");
    server.get("/there");
    server.log.wait_for("mine: INFO access GET /there '200 OK'");
    assert!(server.out.wait_for("/there").contains(" - - [now] \"GET /there HTTP/1.1\" 200 6 "));
}

/// The class put in the place of gunicorn's, without any setting.
fn class_by_assignment(kind: ServerKind) {
    let conf = format!("{SUBCLASS}\nglogging.Logger = Mine\naccesslog = '-'\n");
    let server = builder(kind).file("c.py", &conf).args(["-c", "c.py"]).start();
    server.log.wait_for("mine: INFO while importing");
    server.get("/there");
    server.log.wait_for("mine: INFO access GET /there '200 OK'");
    assert!(server.out.wait_for("/there").contains(" - - [now] \"GET /there HTTP/1.1\" 200 6 "));
}

/// A class that does not call the `setup` of its base, as those do that pass records on to another
/// library.
fn set_up_from_scratch(kind: ServerKind) {
    let conf = "
import logging
import sys
from gunicorn.glogging import Logger

class Passing(logging.Handler):
    def emit(self, record):
        print(record.name, record.levelname, record.getMessage(), file=sys.stderr, flush=True)

class Bare(Logger):
    def setup(self, cfg):
        for log in (self.error_log, self.access_log):
            log.addHandler(Passing())
            log.setLevel(cfg.loglevel.upper())

logger_class = Bare
accesslog = '-'
";
    let server = builder(kind).file("c.py", conf).args(["-c", "c.py"]).start();
    server.log.wait_for("gunicorn.error INFO Booting worker with pid: ");
    server.get("/there");
    let line = server.log.wait_for("/there");
    assert!(line.starts_with("gunicorn.access INFO 127.0.0.1 - - ["), "{line}");
}

/// `capture_output` and `wsgi.errors` with a Python logger that writes to a file.
fn captured(kind: ServerKind) {
    let server = builder(kind)
        .file("mylog.py", SUBCLASS)
        .args(["--capture-output", "--error-logfile", "error.log"])
        .args(["--logger-class", "mylog.Mine"])
        .spawn();
    let error = server.dir().join("error.log");
    wait_line(&error, "mine: INFO while importing: 1 handlers, level 20");
    server.get("/prints");
    server.get("/errors");
    wait_line(&error, "to stdout");
    wait_line(&error, "to stderr");
    wait_line(&error, "to wsgi.errors");
    assert_eq!(server.log.text(), "");
    assert_eq!(server.out.text(), "");

    let moved = server.dir().join("moved");
    fs::rename(&error, &moved).expect("rename");
    server.signal(Signal::SIGUSR1);
    until(BOUND, "the print in the new file", || {
        server.get("/prints");
        fs::read_to_string(&error).is_ok_and(|text| text.contains("to stdout\n")).then_some(())
    });
}

/// Metrics of a subclass of the StatsD logger.
fn metrics(kind: ServerKind) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
    let address = socket.local_addr().expect("an address").to_string();
    let source = "from gunicorn.instrument.statsd import Statsd\n\
                  class Mine(Statsd):\n    \
                      def access(self, resp, req, environ, request_time):\n        \
                          super().access(resp, req, environ, request_time)\n        \
                          self.increment('mine.' + req.method, 2)\n        \
                          self.info('', extra={'metric': 'mine.extra', 'value': 7, 'mtype': 'gauge'})\n";
    let server = builder(kind)
        .file("mylog.py", source)
        .args(["--logger-class", "mylog.Mine", "--statsd-host", &address])
        .args(["--statsd-prefix", "pre.fix.", "--dogstatsd-tags", "a:b,c:d"])
        .start();
    let mut buffer = [0; 1000];
    let mut seen = Vec::new();
    let mut wait = |server: &Server, target: &str, wanted: &[&str]| {
        server.get(target);
        until(BOUND, &format!("{wanted:?} for {target}"), || {
            if let Ok(count) = socket.recv(&mut buffer) {
                seen.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
            }
            let all = wanted.iter().all(|wanted| seen.iter().any(|metric| metric == wanted));
            all.then_some(())
        });
    };
    wait(
        &server,
        "/metrics",
        &[
            "pre.fix.gunicorn.requests:1|c|@1.0|#a:b,c:d",
            "pre.fix.gunicorn.request.status.200:1|c|@1.0|#a:b,c:d",
            "pre.fix.mine.GET:2|c|@1.0|#a:b,c:d",
            "pre.fix.mine.extra:7|g|#a:b,c:d",
            "pre.fix.gunicorn.workers:1|g|#a:b,c:d",
        ],
    );
    wait(
        &server,
        "/boom",
        &[
            "pre.fix.gunicorn.request.status.500:1|c|@1.0|#a:b,c:d",
            "pre.fix.gunicorn.log.exception:1|c|@1.0|#a:b,c:d",
        ],
    );
}

const FAULTS: &str = "
import threading
from gunicorn.glogging import Logger

class Raises(Logger):
    def warning(self, msg, *args, **kwargs):
        raise ValueError('in warning')
    def access(self, resp, req, environ, request_time):
        raise KeyError('in access')

class Blocks(Logger):
    def warning(self, msg, *args, **kwargs):
        threading.Event().wait()
";

/// A logger that raises or never comes back does no harm to requests, and nothing is lost.
fn faults(kind: ServerKind) {
    let base = |class: &str| {
        builder(kind).file("faulty.py", FAULTS).args(["--logger-class", class]).start()
    };
    let refused = "GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let server = base("faulty.Raises");
    assert_eq!(server.get("/first").status, 200);
    server.log.wait_for("[ERROR] The Python logger failed; what it misses is written here.");
    server.log.wait_for("KeyError: 'in access'");
    server.exchange(refused);
    server.log.wait_for("[WARNING] Invalid request from ip=127.0.0.1: ");
    assert_eq!(server.get("/second").status, 200);
    assert_eq!(server.log.text().matches("The Python logger failed").count(), 1);
    drop(server);

    let mut server = base("faulty.Blocks");
    server.exchange(refused);
    server.exchange(refused);
    assert_eq!(server.get("/third").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let text = server.log.wait_end(BOUND);
    assert_eq!(text.matches("[WARNING] Invalid request from ip=127.0.0.1: ").count(), 2, "{text}");
}
