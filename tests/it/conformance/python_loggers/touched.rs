//! Filters, levels, handlers and formatters that code of the user gives the two loggers, with no setting that
//! asks for a logger in Python: the server's own records follow them.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::{text, wait_line};
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, ServerKind, until};

on_both_servers!(
    by_the_conf_file_and_the_master,
    by_the_worker,
    by_a_flask_application,
    by_an_application_that_configures_logging,
    handlers_replaced,
    settings_of_logging_itself,
    preloaded,
    files_of_the_application,
);

on_rgunicorn!(json, nothing_touched);

/// An application that answers everything, behind what is to be done when it is imported.
fn app(statements: &str) -> String {
    format!(
        "import logging\n\
         {statements}\n\
         def app(environ, start_response):\n    \
             if environ['PATH_INFO'] == '/boom':\n        \
                 raise ValueError('boom')\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [b'answer']\n"
    )
}

fn builder(kind: ServerKind, conf: &str, statements: &str) -> Builder {
    let conf = format!("import logging\nlog_file = logging.FileHandler\n{LACKS}\n{conf}");
    Builder::new(kind)
        .in_own_dir()
        .file("touching.py", &app(&format!("{LACKS}\n{statements}")))
        .file("conf.py", &conf)
        .args(["-c", "conf.py"])
        .app("touching:app")
}

/// A filter that keeps back what has a text.
const LACKS: &str = "
class Lacks(logging.Filter):
    def __init__(self, text):
        self.text = text
    def filter(self, record):
        return self.text not in record.getMessage()
error, access = logging.getLogger('gunicorn.error'), logging.getLogger('gunicorn.access')
";

/// Waits until a file has a text.
#[track_caller]
fn wait_text(path: &Path, wanted: &str) {
    until(BOUND, &format!("`{wanted}` in {}", path.display()), || {
        fs::read_to_string(path).is_ok_and(|text| text.contains(wanted)).then_some(())
    });
}

/// What the conf file does before there are logs, and hooks of the master when there are; then the files opened
/// anew, and a reload, which undoes what concerns gunicorn's own handlers.
fn by_the_conf_file_and_the_master(kind: ServerKind) {
    let conf = "
access.addFilter(Lacks('/health'))
error.setLevel(logging.CRITICAL)
accesslog = '-'
def on_starting(server):
    error.setLevel(logging.DEBUG)
def when_ready(server):
    error.handlers[0].setFormatter(logging.Formatter('ready %(levelname)s %(message)s'))
    extra = log_file('extra.log')
    extra.setLevel(logging.WARNING)
    error.addHandler(extra)
    access.addHandler(log_file('access.log'))
    server.log.info('from a hook')
def pre_fork(server, worker):
    error.info('of a hook')
";
    let mut server = builder(kind, conf, "").start();
    server.log.wait_for("[DEBUG] Arbiter booted\n");
    server.log.wait_for("] [INFO] Listening at: ");
    assert!(server.log.wait_for("Booting worker with pid: ").starts_with("ready INFO "));
    server.get("/health");
    server.get("/boom");
    server.get("/x");
    server.log.wait_for("ready ERROR Error handling request ");
    server.log.wait_for("ValueError: boom");
    assert!(server.out.wait_for("/x").contains("] \"GET /x HTTP/1.1\" 200 6 "));
    assert!(!server.out.text().contains("/health"), "{}", server.out.text());
    // In the order in which the master has written them.
    let log = server.log.text();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no `{text}` in {log}"));
    let order =
        ["Starting ", "Arbiter booted", "Listening at", "from a hook", "of a hook", "Booting"];
    assert!(order.map(at).is_sorted(), "{log}");

    let (extra, lines) = (server.dir().join("extra.log"), server.dir().join("access.log"));
    wait_line(&extra, "ValueError: boom");
    assert!(!text(&extra).contains("Booting"));
    wait_text(&lines, "GET /x ");
    assert!(!text(&lines).contains("/health"));
    let moved = server.dir().join("moved");
    fs::rename(&lines, &moved).expect("rename");
    server.signal(Signal::SIGUSR1);
    server.log.wait_for("ready INFO Handling signal: usr1");
    until(BOUND, "a line in the new file", || {
        server.get("/again");
        fs::read_to_string(&lines).is_ok_and(|text| text.contains("GET /again")).then_some(())
    });

    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "[INFO] Booting worker with pid: ");
    server.log.wait_for_since(mark, "ready INFO Worker exiting (pid: ");
    assert!(server.log.since(mark).contains("ready INFO Handling signal: hup\n"));
    let mark = server.out.mark();
    server.get("/health");
    server.get("/last");
    server.out.wait_for_since(mark, "GET /last");
    assert!(!server.out.since(mark).contains("/health"));
    // Handlers of others stay.
    wait_text(&lines, "GET /last");
    server.get("/boom");
    until(BOUND, "the other", || {
        (text(&extra).matches("ValueError: boom").count() == 2).then_some(())
    });
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_for("[INFO] Shutting down: Master");
}

/// What hooks of a worker do, and the import of the application. The master does not know of it.
fn by_the_worker(kind: ServerKind) {
    let conf = "
accesslog = '-'
worker_class = 'gthread'
threads = 2
def post_fork(server, worker):
    access.addFilter(Lacks('/fork'))
def post_worker_init(worker):
    class Hides(logging.Filter):
        def filter(self, record):
            record.args['U'] = str(record.args['U']).replace('secret', 'xxx')
            return record.args['U'] != '/init'
    access.addFilter(Hides())
    error.setLevel(logging.ERROR)
access_log_format = '%(m)s %(U)s %(s)s'
";
    let mut server = builder(kind, conf, "access.addFilter(Lacks('/import'))").start();
    for target in ["/fork", "/import", "/init", "/secret"] {
        server.get(target);
    }
    server.out.wait_for("GET /xxx 200");
    assert_eq!(server.out.text(), "GET /xxx 200\n");
    server.get("/boom");
    server.exchange("BAD\r\n\r\n");
    server.log.wait_for("] [ERROR] Error handling request ");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let log = server.log.wait_end(BOUND);
    assert!(log.contains("[INFO] Booting worker") && log.contains("[INFO] Shutting down: Master"));
    assert!(!log.contains("Invalid request") && !log.contains("Worker exiting"), "{log}");
}

/// The usual recipe of Flask applications, which then change what they share with the server.
fn by_a_flask_application(kind: ServerKind) {
    let source = "
import logging
from flask import Flask, request
app = Flask(__name__)
gunicorn_logger = logging.getLogger('gunicorn.error')
app.logger.handlers = gunicorn_logger.handlers
app.logger.setLevel(gunicorn_logger.level)
for handler in app.logger.handlers:
    handler.setFormatter(logging.Formatter('%(name)s:%(levelname)s:%(message)s'))
@app.get('/log')
def log():
    app.logger.debug('too little')
    app.logger.info('of %s', request.path)
    return 'x'
";
    let mut server = Builder::new(kind)
        .in_own_dir()
        .file("shop.py", source)
        .args(["--access-logfile", "-"])
        .app("shop:app")
        .start();
    assert_eq!(server.get("/log").status, 200);
    server.log.wait_for("shop:INFO:of /log\n");
    server.out.wait_for("\"GET /log HTTP/1.1\" 200 1 ");
    server.exchange("BAD\r\n\r\n");
    server.log.wait_for("gunicorn.error:WARNING:Invalid request from ip=127.0.0.1: ");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_for("gunicorn.error:INFO:Worker exiting (pid: ");
    server.log.wait_for("[INFO] Shutting down: Master");
    assert!(!server.log.text().contains("too little"));
}

/// `dictConfig` disables what it does not name, if it is not told otherwise.
fn by_an_application_that_configures_logging(kind: ServerKind) {
    let statements = "
import logging.config
logging.config.dictConfig({'version': 1,
    'handlers': {'own': {'class': 'logging.FileHandler', 'filename': 'own.log'}},
    'loggers': {'gunicorn.error': {'handlers': ['own'], 'level': 'INFO'}}})
";
    let mut server = builder(kind, "accesslog = '-'", statements).start();
    server.log.wait_for("Booting worker");
    assert_eq!(server.get("/x").status, 200);
    server.get("/boom");
    let own = server.dir().join("own.log");
    wait_line(&own, "ValueError: boom");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    wait_line(&own, &format!("Worker exiting (pid: {})", booted(&server.log.text())));
    assert!(text(&own).starts_with("Error handling request "), "{}", text(&own));
    assert_eq!(server.out.text(), "", "the logger of requests is disabled");
    assert!(!server.log.text().contains("boom"));
}

/// The process id of the first worker.
fn booted(log: &str) -> &str {
    let rest = log.split("Booting worker with pid: ").nth(1).expect("a worker");
    rest.split('\n').next().expect("a line")
}

/// Handlers put in the place of gunicorn's, as for loguru; records that go up to the root logger.
fn handlers_replaced(kind: ServerKind) {
    let conf = "
accesslog = '-'
class Intercepts(logging.Handler):
    def emit(self, record):
        print('caught', record.levelname, self.format(record), flush=True)
def post_fork(server, worker):
    error.handlers = [Intercepts()]
    access.handlers.clear()
    access.propagate = True
    logging.basicConfig(format='root %(name)s %(message)s')
";
    let server = builder(kind, conf, "").start();
    server.get("/x");
    let line = server.log.wait_for("GET /x HTTP");
    assert!(line.starts_with("root gunicorn.access 127.0.0.1 - - ["), "{line}");
    server.get("/boom");
    server.out.wait_for("caught ERROR Error handling request ");
    server.out.wait_for("ValueError: boom");
    assert!(!server.log.text().contains("ValueError"));
}

/// Names of levels, times, records and loggers of another kind, from the conf file on.
fn settings_of_logging_itself(kind: ServerKind) {
    let conf = "
import time
logging.addLevelName(logging.INFO, 'note')
logging.Formatter.converter = lambda *args: time.struct_time((1999, 12, 31, 23, 59, 59, 4, 365, 0))
usual = logging.getLogRecordFactory()
def factory(*args, **kwargs):
    record = usual(*args, **kwargs)
    record.msg = record.msg.replace('worker', 'WORKER')
    return record
logging.setLogRecordFactory(factory)
";
    let server = builder(kind, conf, "").start();
    server.log.wait_for("[note] Booting WORKER with pid: ");
    let log = server.log.text();
    assert!(log.lines().all(|line| line.starts_with("[1999-12-31 23:59:59 ")), "{log}");

    let conf = "
logging.disable(logging.INFO)
accesslog = '-'
";
    let mut server = builder(kind, conf, "").spawn();
    until(BOUND, "an error", || {
        server.get("/boom");
        server.log.text().contains("ValueError: boom").then_some(())
    });
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!server.log.text().contains("INFO"), "{}", server.log.text());
    assert_eq!(server.out.text(), "");
}

/// A preloaded application concerns the master too.
fn preloaded(kind: ServerKind) {
    let statements = "
error.addFilter(Lacks('Booting'))
access.addFilter(Lacks('/health'))
";
    let server = builder(kind, "accesslog = '-'\npreload_app = True", statements).start();
    server.get("/health");
    server.get("/x");
    server.out.wait_for("GET /x ");
    assert!(!server.out.text().contains("/health"));
    assert!(!server.log.text().contains("Booting"), "{}", server.log.text());
}

/// USR1 also opens the files anew that are the application's, whoever writes the server's logs.
fn files_of_the_application(kind: ServerKind) {
    let source = "
import logging
own = logging.getLogger('own')
own.addHandler(logging.FileHandler('own.log'))
own.warning('imported')
def app(environ, start_response):
    own.warning('called')
    start_response('204 No Content', [])
    return []
";
    let server =
        Builder::new(kind).in_own_dir().file("filing.py", source).app("filing:app").start();
    let path = server.dir().join("own.log");
    wait_line(&path, "imported");
    fs::rename(&path, server.dir().join("moved")).expect("rename");
    server.signal(Signal::SIGUSR1);
    until(BOUND, "a line in the new file", || {
        server.get("/");
        fs::read_to_string(&path).is_ok_and(|text| text.contains("called")).then_some(())
    });
}

/// Lines stay JSON when they have gone through a filter.
fn json(kind: ServerKind) {
    let conf = "
accesslog = '-'
access_log_format = error_log_format = 'json'
access.addFilter(Lacks('/health'))
error.addFilter(Lacks('Using worker'))
";
    let server = builder(kind, conf, "").start();
    server.get("/health");
    server.get("/%25s?a=100%");
    let line = server.out.wait_for("/%25s");
    assert!(line.contains(r#""target":"/%25s?a=100%","path":"/%s","query":"a=100%""#), "{line}");
    assert!(line.contains(r#""host":""#) && line.ends_with('}'), "{line}");
    server.exchange("GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let line = server.out.wait_for("/refused");
    assert!(line.contains(r#""status":400,"bytes":0,"#), "{line}");
    assert!(!server.out.text().contains("/health"));
    let line = server.log.wait_for("Booting worker");
    assert!(line.starts_with(r#"{"time":""#) && line.contains(r#""level":"INFO""#), "{line}");
    assert!(!server.log.text().contains("Using worker"));
}

/// The usual things that applications do with `logging` change nothing for the server: nothing more is loaded
/// than what they have asked for.
fn nothing_touched(kind: ServerKind) {
    let app = |statements: &str| {
        format!(
            "{statements}\n\
             import sys\n\
             def app(environ, start_response):\n    \
                 start_response('200 OK', [])\n    \
                 names = [name for name in sys.modules if name.split('.')[0] in ('logging', 'gunicorn')]\n    \
                 return [repr(sorted(names)).encode()]\n"
        )
    };
    let recipe = "
import logging
gunicorn = logging.getLogger('gunicorn.error')
own = logging.getLogger('own')
own.handlers = gunicorn.handlers
own.setLevel(gunicorn.level)
own.addFilter(lambda record: True)
logging.basicConfig(level=logging.DEBUG, format='%(message)s')
logging.addLevelName(25, 'NOTE')
own.warning('imported')
logging.getLogger('gunicorn.access').trace = print
";
    // The package itself is always there.
    for (statements, loaded) in [
        ("", "['gunicorn', 'gunicorn._native', 'gunicorn._submodules']"),
        (recipe, "['gunicorn', 'gunicorn._native', 'gunicorn._submodules', 'logging']"),
    ] {
        let server = Builder::new(kind)
            .in_own_dir()
            .file("modest.py", &app(statements))
            .args(["--access-logfile", "-"])
            .app("modest:app")
            .start();
        assert_eq!(server.get("/x").text(), loaded);
        server.out.wait_for("\"GET /x HTTP/1.1\" 200 ");
    }
}
