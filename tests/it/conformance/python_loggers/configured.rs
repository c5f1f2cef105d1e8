//! `logconfig`, `logconfig_dict` and `logconfig_json`.

use std::fs;

use nix::sys::signal::Signal;

use super::{builder, text, wait_line};
use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, ServerKind, until};

on_both_servers!(
    ini,
    dict_in_a_conf_file,
    json_and_defaults,
    precedence,
    switched_by_reloads,
    threads,
    errors_at_the_start,
);

on_rgunicorn!(busy_slots, refused_combinations);

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
    // Those of the first two configurations may still be on their way out.
    server.wait_workers(1);
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
