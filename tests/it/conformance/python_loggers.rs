//! Loggers in Python: `logging` in applications, `logger_class`, and the `logconfig` settings.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind, until};

on_both_servers!(
    applications,
    applications_with_syslog,
    ini,
    dict_in_a_conf_file,
    json_and_defaults,
    precedence,
    switched_by_reloads,
    threads,
    errors_at_the_start,
    subclass,
    class_in_a_conf_file,
    class_by_assignment,
    captured,
    metrics,
);

on_rgunicorn!(faults, busy_slots, refused_combinations);

/// Waits until a file has a line that ends like this, and returns that line.
#[track_caller]
fn wait_line(path: &Path, end: &str) -> String {
    until(BOUND, &format!("a line `{end}` in {}", path.display()), || {
        let text = fs::read_to_string(path).ok()?;
        let complete = text.rsplit_once('\n')?.0;
        complete.lines().find(|line| line.ends_with(end)).map(str::to_owned)
    })
}

/// A server in a directory of its own with the application `logged`.
fn builder(kind: ServerKind) -> Builder {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/library_loggers.py");
    let source = fs::read_to_string(source).expect("the application is there");
    Builder::new(kind).in_own_dir().app("logged:app").file("logged.py", &source)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the log was written")
}

/// What applications do with the standard library's loggers, while the logs are the server's own.
fn applications(kind: ServerKind) {
    let server = builder(kind).args(["--access-logfile", "-"]).start();
    server.log.wait_for("[INFO] while importing: 1 handlers, level 20");
    let pid = server.workers()[0];
    server.get("/records");
    let line = server.log.wait_for("a debug message");
    assert!(line.ends_with(&format!(" [{pid}] [DEBUG] a debug message of the application's own")));
    assert!(line.starts_with("[2") && line.contains(" +0000] ["), "{line}");
    server.log.wait_for("[Level 25] an odd level");
    server.log.wait_for("[ERROR] caught it");
    server.log.wait_for("Traceback (most recent call last):");
    server.log.wait_for("KeyError: 'key'");
    assert!(!server.log.text().contains("too little"));
    server.get("/formatted");
    server.log.wait_for("<WARNING own> in another format");
    let mark = server.out.mark();
    server.get("/access");
    assert_eq!(server.out.wait_for_since(mark, "own"), "a line of the application's own");
    server.out.wait_for_since(mark, "\"GET /access HTTP/1.1\" 200 6 ");
}

/// The same, which goes to syslog too.
fn applications_with_syslog(kind: ServerKind) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(BOUND)).expect("a time limit");
    let address = format!("udp://{}", socket.local_addr().expect("an address"));
    let server = builder(kind)
        .args(["--log-syslog", "--log-syslog-to", &address, "--log-syslog-prefix", "pre"])
        .start();
    let mut buffer = [0; 2000];
    let mut wait = |ident: &str, end: &str| loop {
        let count = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("a datagram `{end}`"));
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text.trim_end_matches('\0').ends_with(end) {
            assert!(text.contains(&format!(">gunicorn.pre.{ident}: [")), "{text}");
            return;
        }
    };
    wait("error", " handlers, level 20");
    server.get("/records");
    wait("error", "] a debug message of the application's own");
    wait("error", "] an odd level");
    wait("error", "KeyError: 'key'");
    server.get("/access");
    wait("access", "] a line of the application's own");
    if kind.is_rgunicorn() {
        // The application gives gunicorn's handler for syslog the format that it wants for the file.
        server.get("/formatted");
        wait("error", "] in another format");
    }
}

const INI: &str = "
[loggers]
keys=root, error, access

[handlers]
keys=console, error, access

[formatters]
keys=plain, access

[logger_root]
level=INFO
handlers=console

[logger_error]
level=DEBUG
handlers=error
propagate=0
qualname=gunicorn.error

[logger_access]
level=INFO
handlers=access
propagate=0
qualname=gunicorn.access

[handler_console]
class=StreamHandler
formatter=plain
args=(sys.stdout, )

[handler_error]
class=logging.handlers.RotatingFileHandler
formatter=plain
args=('%(here)s/error.log', 'a', 1000000, 2)

[handler_access]
class=logging.FileHandler
formatter=access
args=('%(here)s/access.log', )

[formatter_plain]
format=%(process)d %(threadName)s %(name)s %(levelname)s %(message)s

[formatter_access]
format=%(name)s %(message)s
";

/// `--log-config`: handlers and formatters in a file, files that are rotated.
fn ini(kind: ServerKind) {
    let builder = builder(kind).file("log.ini", INI);
    let path = builder.dir().join("log.ini");
    let mut server = builder
        .args(["--log-config".as_ref(), path.as_os_str()])
        .args(["--access-logformat", "%(m)s %(U)s %(s)s %(b)s"])
        .spawn();
    let (error, access) = (server.dir().join("error.log"), server.dir().join("access.log"));
    let master = server.pid();
    wait_line(&error, "handlers, level 10");
    let worker = server.workers()[0];
    server.get("/elsewhere");
    server.out.wait_for(&format!("{worker} MainThread elsewhere WARNING to another logger"));
    let name = kind.name();
    let version = kind.version();
    let starting = format!("{master} MainThread gunicorn.error INFO Starting {name} {version}");
    wait_line(&error, &starting);
    wait_line(&error, &format!("gunicorn.error INFO Booting worker with pid: {worker}"));
    wait_line(&error, "gunicorn.error DEBUG Arbiter booted");
    assert_eq!(server.get("/boom").status, 500);
    let boom = format!("{worker} MainThread gunicorn.error ERROR Error handling request GET /boom");
    wait_line(&error, &boom);
    wait_line(&error, "ValueError: boom");
    wait_line(&access, "gunicorn.access GET /elsewhere 200 6");
    server.exchange("GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    wait_line(&error, "WARNING Invalid request from ip=127.0.0.1: Invalid HTTP Header: 'HOST'");
    until(BOUND, "the line of a refused request", || {
        text(&access).contains(" 400 0\n").then_some(())
    });

    // Moved away and opened again, by the handlers of all processes.
    let (moved, moved_access) = (server.dir().join("moved"), server.dir().join("moved-access"));
    fs::rename(&error, &moved).expect("rename");
    fs::rename(&access, &moved_access).expect("rename");
    server.signal(Signal::SIGUSR1);
    until(BOUND, "both files", || (error.exists() && access.exists()).then_some(()));
    until(BOUND, "a line in the new file", || {
        server.get("/again");
        text(&access).contains("GET /again").then_some(())
    });
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    wait_line(&error, "INFO Handling signal: term");
    wait_line(
        &error,
        &format!("{worker} MainThread gunicorn.error INFO Worker exiting (pid: {worker})"),
    );
    wait_line(&error, "INFO Shutting down: Master");
    assert!(!server.log.text().contains("gunicorn.error"), "{}", server.log.text());
}

/// A `logconfig_dict` in a conf file, changed by HUP, and broken by the next.
fn dict_in_a_conf_file(kind: ServerKind) {
    let conf = |body: &str| {
        format!(
            "import logging\n\
             class Upper(logging.Formatter):\n    \
                 def format(self, record):\n        \
                     return super().format(record).upper()\n\
             logconfig_dict = {{'version': 1, 'formatters': {{{body}}},\n\
             'handlers': {{'h': {{'class': 'logging.StreamHandler', 'formatter': 'f'}}}},\n\
             'root': {{'level': 'DEBUG', 'handlers': []}},\n\
             'loggers': {{'gunicorn.error': {{'level': 'INFO', 'handlers': ['h'], 'propagate': False}},\n\
             'gunicorn.access': {{'level': 'INFO', 'handlers': ['h'], 'propagate': False}}}}}}\n"
        )
    };
    let builder = builder(kind)
        .file("conf.py", &conf("'f': {'()': Upper, 'format': '<%(levelname)s> %(message)s'}"))
        .args([
            "-c",
            "conf.py",
            "--access-logformat",
            "%(r)s %({x-one}i)s %({X-Answer}o)s %({path_info}e)s",
        ]);
    let server = builder.spawn();
    server.log.wait_for("<INFO> LISTENING AT: ");
    server.log.wait_for("<INFO> WHILE IMPORTING: 1 HANDLERS, LEVEL 20");
    let request =
        "GET /a?b HTTP/1.1\r\nx-one: first\r\nX-One: a \"b\"\r\nConnection: close\r\n\r\n";
    server.exchange(request);
    server.log.wait_for("<INFO> GET /A?B HTTP/1.1 A \\\"B\\\" AN \\\"ANSWER\\\" /A");

    let mark = server.log.mark();
    let path = server.dir().join("conf.py");
    fs::write(&path, conf("'f': {'format': 'changed %(levelname)s %(message)s'}")).expect("write");
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "changed INFO while importing");
    server.log.wait_for_since(mark, "changed INFO Booting worker with pid: ");

    let mark = server.log.mark();
    fs::write(&path, conf("'f': {'()': 'no.such.thing'}")).expect("write");
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(
        mark,
        "changed ERROR reloading the logger configuration failed, keeping the previous one",
    );
    server.log.wait_for_since(mark, "changed INFO while importing");
    server.exchange(request);
    server.log.wait_for_since(mark, "changed INFO GET /a?b HTTP/1.1");
}

/// A logger in Python that comes with one HUP and goes with the next.
fn switched_by_reloads(kind: ServerKind) {
    let plain = "accesslog = '-'\n";
    let dict = "accesslog = '-'\nlogconfig_dict = {'version': 1, \
                'formatters': {'generic': {'format': 'python %(message)s'}}}\n";
    let server = builder(kind).file("conf.py", plain).args(["-c", "conf.py"]).start();
    server.log.wait_for("[INFO] while importing: 1 handlers, level 20");
    let path = server.dir().join("conf.py");
    fs::write(&path, dict).expect("write");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("python while importing: 1 handlers, level 20");
    let line = until(BOUND, "a new worker's line", || {
        let mark = server.out.mark();
        server.get("/x");
        let line = server.out.wait_for_since(mark, "\"GET /x HTTP/1.1\" 200 6 ");
        line.starts_with("python ").then_some(line)
    });
    assert!(line.starts_with("python 127.0.0.1 - - ["), "{line}");
    if kind.is_rgunicorn() {
        // gunicorn leaves the handlers of the dict in place.
        let mark = server.log.mark();
        fs::write(&path, plain).expect("write");
        server.signal(Signal::SIGHUP);
        server.log.wait_for_since(mark, "[INFO] while importing: 1 handlers, level 20");
        until(BOUND, "a line of our own", || {
            let mark = server.out.mark();
            server.get("/x");
            server.out.wait_for_since(mark, "GET /x").starts_with("127.0.0.1 ").then_some(())
        });
    }
}

/// Lines of several threads and of a preloaded application.
fn threads(kind: ServerKind) {
    let form = r#"{"version": 1, "formatters": {"generic": {"format": "%(threadName)s %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "formatter": "generic",
        "filename": "access.log"}, "error": {"class": "logging.StreamHandler", "formatter":
        "generic"}}, "root": {"level": "INFO", "handlers": []},
        "loggers": {"gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": false},
        "gunicorn.error": {"level": "INFO", "handlers": ["error"], "propagate": false}}}"#;
    let server = builder(kind)
        .file("log.json", form)
        .args(["--log-config-json", "log.json", "-k", "gthread", "--threads", "4", "--preload"])
        .start();
    server.log.wait_for("MainThread while importing: 1 handlers, level 20");
    std::thread::scope(|scope| {
        for client in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..5 {
                    assert_eq!(server.get(&format!("/c{client}n{number}")).status, 200);
                }
            });
        }
    });
    let path = server.dir().join("access.log");
    let lines = until(BOUND, "all lines", || {
        let text = fs::read_to_string(&path).ok()?;
        (text.lines().count() == 40).then(|| text.lines().map(str::to_owned).collect::<Vec<_>>())
    });
    for line in lines {
        let (thread, rest) = line.split_once(" 127.0.0.1 - - [").expect("a whole line");
        assert_ne!(thread, "MainThread");
        assert!(rest.contains("] \"GET /c") && rest.contains(" HTTP/1.1\" 200 6 "), "{rest}");
    }
    server.get("/boom");
    let line = server.log.wait_for("Error handling request");
    assert!(
        line.ends_with(" Error handling request /boom") || line.ends_with(" GET /boom"),
        "{line}"
    );
    assert!(!line.starts_with("MainThread"), "{line}");
}

/// What a configuration leaves out comes from gunicorn's: each record on standard error and again on
/// standard output.
fn json_and_defaults(kind: ServerKind) {
    let server = builder(kind)
        .file(
            "log.json",
            r#"{"version": 1, "root": {"level": "WARNING", "handlers": ["console"]}}"#,
        )
        .args(["--log-config-json", "log.json", "--log-level", "debug"])
        .start();
    server.out.wait_for("[INFO] Listening at: ");
    server.log.wait_for("[INFO] while importing: 1 handlers, level 20");
    server.get("/line");
    server.out.wait_for_count("\"GET /line HTTP/1.1\" 200 6 ", 2);
    let line = server.out.wait_for("GET /line");
    assert!(line.contains("] [INFO] 127.0.0.1 - - ["), "{line}");
    assert!(!server.log.text().contains("[DEBUG]"), "{}", server.log.text());
}

/// The dict wins over the JSON file, which wins over the INI file. A JSON file that is not there is no
/// error.
fn precedence(kind: ServerKind) {
    let form = |word: &str| {
        format!(
            "{{\"version\": 1, \"formatters\": {{\"generic\": {{\"format\": \"{word} %(message)s\"}}}}}}"
        )
    };
    let base = || {
        builder(kind)
            .file("log.ini", "nothing that could be read")
            .file("log.json", &form("json"))
            .args(["--log-config", "log.ini"])
    };
    let server = base().args(["--log-config-json", "log.json"]).start();
    server.log.wait_for("json Starting ");
    drop(server);
    let server = base()
        .args(["--log-config-json", "log.json", "-c", "conf.py"])
        .file("conf.py", &format!("logconfig_dict = {}", form("dict")))
        .start();
    server.log.wait_for("dict Starting ");
    drop(server);
    let server = base().args(["--log-config-json", "missing.json"]).start();
    server.log.wait_for("[INFO] Starting ");
}

/// Arguments, what standard error says.
const ERRORS: &[(&[&str], &str)] = &[
    (&["--log-config", "missing.ini"], "\nError: Error: log config 'missing.ini' not found\n"),
    (&["--log-config", "bad.ini"], "KeyError: 'formatters'\n"),
    (
        &["--log-config-json", "bad.json"],
        "\nError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n",
    ),
    (&["--log-config-json", "version.json"], "\nError: Unsupported version: 2\n"),
    (
        &["--logger-class", "nosuchmodule.X"],
        "ModuleNotFoundError: No module named 'nosuchmodule'\n",
    ),
    (
        &["--logger-class", "nosuchmodule.X"],
        "\nError: class uri 'nosuchmodule.X' invalid or not found: \n",
    ),
    (
        &["--logger-class", "nosuchclass"],
        "\nError: class uri 'nosuchclass' invalid or not found: \n",
    ),
    (&["--logger-class", "raises.Setup"], "ValueError: in setup\n"),
    (&["--logger-class", "raises.Install"], "KeyError: 'in install'\n"),
    (
        &["--logger-class", "raises.Fine", "--error-logfile", "/nowhere/x"],
        "\nError: Error: '/nowhere/x' isn't writable [",
    ),
    (
        &["--logger-class", "raises.Fine", "--log-syslog", "--log-syslog-facility", "nothing"],
        "\nError: unknown facility name\n",
    ),
    (
        &["--logger-class", "raises.Fine", "--log-syslog", "--log-syslog-to", "http://x"],
        "\nError: invalid syslog address\n",
    ),
];

const RAISES: &str = "
from gunicorn.glogging import Logger
class Fine(Logger):
    pass
class Setup(Logger):
    def setup(self, cfg):
        raise ValueError('in setup')
class Install(Logger):
    @classmethod
    def install(cls):
        raise KeyError('in install')
";

fn errors_at_the_start(kind: ServerKind) {
    for &(arguments, message) in ERRORS {
        let outcome = builder(kind)
            .file("raises.py", RAISES)
            .file("bad.ini", "[loggers]\nkeys=root\n[logger_root]\nlevel=INFO\nhandlers=\n")
            .file("bad.json", "{bad")
            .file("version.json", "{\"version\": 2}")
            .args(arguments)
            .run();
        assert_eq!(outcome.status, Some(1), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(message), "{arguments:?}: {}", outcome.stderr);
    }
}

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
    let text = server.log.text();
    assert_eq!(text.matches("[WARNING] Invalid request from ip=127.0.0.1: ").count(), 2, "{text}");
}

/// While all slots are busy, records still reach the logger.
fn busy_slots(kind: ServerKind) {
    let form = r#"{"version": 1, "formatters": {"generic": {"format": "json %(message)s"}}}"#;
    let builder = Builder::new(kind).app("supervised:app").file("log.json", form);
    let path = builder.dir().join("log.json");
    let server = builder
        .args(["--log-config-json".as_ref(), path.as_os_str()])
        .args(["--request-timeout", "1"])
        .start();
    let response = server.get("/sleep?3");
    assert_eq!(response.status, 503, "{}", response.text());
    server.log.wait_for("json REQUEST TIMEOUT: GET /sleep?3 ");
    server.log.wait_for("json Stacks when the request was given up:");
}

/// What a Python logger cannot do is refused.
fn refused_combinations(kind: ServerKind) {
    for arguments in [["--access-logformat", "json"], ["--error-log-format", "json"]] {
        let outcome = builder(kind)
            .file("log.json", r#"{"version": 1}"#)
            .args(["--log-config-json", "log.json"])
            .args(arguments)
            .run();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        let setting = arguments[0].trim_start_matches("--").replace('-', "_");
        let setting = setting.replace("logformat", "log_format");
        let message = format!("{setting} = \"json\" is for the server's own logs");
        assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
    }
}
