//! Where settings come from and which place wins, seen through `--print-config`.

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Outcome, ServerKind};

on_both_servers!(
    layers,
    conf_file_places,
    environment,
    version,
    conf_file_code,
    threads,
    words,
    dotted_hooks,
    failures,
    failures_of_the_start,
    class_objects,
);

on_rgunicorn!(own_limits, toml, toml_is_read_again, similar_names);

/// The printed value of a setting.
#[track_caller]
fn value(outcome: &Outcome, name: &str) -> String {
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let mut pairs = outcome.stdout.lines().filter_map(|line| line.split_once('='));
    let Some((_, value)) = pairs.find(|(found, _)| found.trim() == name) else {
        panic!("{name} is not in\n{}", outcome.stdout)
    };
    value.trim().to_owned()
}

/// A command that prints its configuration.
fn printing(kind: ServerKind) -> Builder {
    Builder::new(kind).app("factories").without_bind().args(["--print-config"])
}

fn layers(kind: ServerKind) {
    let conf = "workers = 2\nbacklog = 22\nproc_name = 'file'\nthreads = 1\n";
    let outcome = printing(kind)
        .file("gunicorn.conf.py", conf)
        .env("GUNICORN_CMD_ARGS", "--backlog=33 --name 'from env' ignored:app")
        .args(["-n", "line"])
        .run();
    assert_eq!(value(&outcome, "workers"), "2");
    assert_eq!(value(&outcome, "backlog"), "33");
    assert_eq!(value(&outcome, "proc_name"), "line");
    assert_eq!(value(&outcome, "timeout"), "30");
    assert_eq!(value(&outcome, "keepalive"), "2");
}

fn conf_file_places(kind: ServerKind) {
    for location in ["other.py", "./other.py", "file:other.py"] {
        let outcome = printing(kind)
            .file("gunicorn.conf.py", "workers = 2\n")
            .file("other.py", "backlog = 7\n")
            .args(["-c", location])
            .run();
        assert_eq!(value(&outcome, "backlog"), "7", "{location}");
        assert_eq!(value(&outcome, "workers"), "1", "{location}");
    }
    let outcome = printing(kind)
        .file("settings_module.py", "workers = 5\n")
        .in_own_dir()
        .file("factories.py", "application = print\n")
        .args(["-c", "python:settings_module"])
        .run();
    assert_eq!(value(&outcome, "workers"), "5");
    // -c on the command line beats the one in the variable.
    let outcome = printing(kind)
        .file("one.py", "workers = 11\n")
        .file("two.py", "workers = 12\n")
        .env("GUNICORN_CMD_ARGS", "-c one.py")
        .args(["-c", "two.py"])
        .run();
    assert_eq!(value(&outcome, "workers"), "12");
}

fn environment(kind: ServerKind) {
    let outcome = printing(kind)
        .env("WEB_CONCURRENCY", "6")
        .env("PORT", "5555")
        .env("FORWARDED_ALLOW_IPS", "10.1.1.1,10.2.0.0/16")
        .run();
    assert_eq!(value(&outcome, "workers"), "6");
    assert_eq!(value(&outcome, "bind"), "['0.0.0.0:5555']");
    assert_eq!(value(&outcome, "forwarded_allow_ips"), "['10.1.1.1', '10.2.0.0/16']");
    let outcome = printing(kind).env("WEB_CONCURRENCY", "6").args(["-w", "7"]).run();
    assert_eq!(value(&outcome, "workers"), "7");
    assert_eq!(value(&outcome, "bind"), "['127.0.0.1:8000']");
}

fn version(kind: ServerKind) {
    for flag in ["--version", "-v"] {
        let outcome = Builder::new(kind).without_bind().args([flag]).run();
        assert_eq!(outcome.status, Some(0));
        let wanted = format!("{} (version {})\n", kind.name(), kind.version());
        assert_eq!(outcome.stdout, wanted);
    }
    let outcome = Builder::new(kind).without_bind().args(["--help"]).run();
    assert_eq!(outcome.status, Some(0));
    for flag in ["--workers", "--bind", "--timeout", "--access-logfile"] {
        assert!(outcome.stdout.contains(flag), "{flag} in\n{}", outcome.stdout);
    }
}

/// What of the two settings about threads is shown, and which class of workers they make.
fn threads(kind: ServerKind) {
    for (args, class, threads, using) in [
        (&["--threads", "4"][..], "sync", "4", "gthread"),
        (&["-k", "gthread"], "gthread", "1", "gthread"),
        (
            &["-k", "gunicorn.workers.sync.SyncWorker", "--threads", "2"],
            "gunicorn.workers.sync.SyncWorker",
            "2",
            "gthread",
        ),
        (
            &["-k", "gunicorn.workers.gthread.ThreadWorker", "--threads", "2"],
            "gunicorn.workers.gthread.ThreadWorker",
            "2",
            "gunicorn.workers.gthread.ThreadWorker",
        ),
        (&["--threads", "0"], "sync", "0", "sync"),
    ] {
        let outcome = printing(kind).args(args).run();
        assert_eq!(value(&outcome, "worker_class"), class, "{args:?}");
        assert_eq!(value(&outcome, "threads"), threads, "{args:?}");
        let server = Builder::new(kind).app("echo:quiet").args(args).start();
        let line = server.log.wait_for("Using worker: ");
        assert!(line.ends_with(&format!("[INFO] Using worker: {using}")), "{args:?}: {line}");
    }
    let outcome = printing(kind).args(["--threads", "-1"]).run();
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("Error: Value must be positive: -1"), "{}", outcome.stderr);
}

fn own_limits(kind: ServerKind) {
    let outcome = printing(kind).run();
    assert_eq!(value(&outcome, "request_timeout"), "0");
    assert_eq!(value(&outcome, "max_queue_time"), "0");
    let outcome = printing(kind)
        .file("gunicorn.conf.py", "max_queue_time = 1.5\nrequest_timeout = 60\n")
        .args(["--request-timeout", "2.25"])
        .run();
    assert_eq!(value(&outcome, "request_timeout"), "2.25");
    assert_eq!(value(&outcome, "max_queue_time"), "1.5");
    let refused = |args: [&str; 2], sentence: &str| {
        let outcome = printing(kind).args(args).run();
        assert_eq!(outcome.status, Some(1), "{args:?}");
        assert!(outcome.stderr.contains(sentence), "{args:?}: {}", outcome.stderr);
    };
    refused(["--max-queue-time", "soon"], "not a number of seconds: 'soon' (--max-queue-time");
    refused(["--threads", "1025"], "at most 1024 threads, not 1025");
    refused(["-k", "gevent"], "only the worker classes 'sync' and 'gthread' yet, not 'gevent'");
}

/// A conf file is a program: it may compute, import, and hold names that are no settings.
fn conf_file_code(kind: ServerKind) {
    let conf = "import os\nimport sys\n\nBIND = 'ignored'\nhelper = 3\n\n\
        def count():\n    return helper + int(os.environ['EXTRA'])\n\n\
        workers = count()\nbind = ['127.0.0.1:1', 'unix:/x']\n\
        assert sys.modules['__config__'].helper == 3\n\
        raw_env = ['A=b']\naccesslog = None\n";
    let outcome = printing(kind).file("gunicorn.conf.py", conf).env("EXTRA", "4").run();
    assert_eq!(value(&outcome, "workers"), "7");
    assert_eq!(value(&outcome, "bind"), "['127.0.0.1:1', 'unix:/x']");
    assert_eq!(value(&outcome, "raw_env"), "['A=b']");
    assert_eq!(value(&outcome, "accesslog"), "None");
}

/// How argparse reads words.
fn words(kind: ServerKind) {
    for args in [
        &["--max-requests-j", "3", "-w4", "--bac=7"][..],
        &["--backlog=7", "-w", "4", "--max-requests-jitter", "3"],
        &["-w=4", "-w", "5", "-w", "4", "--backlog", "0x", "--backlog", "7", "--max-requests-j=3"],
    ] {
        let outcome = printing(kind).args(args.iter().filter(|arg| **arg != "0x")).run();
        if args.contains(&"0x") {
            assert_eq!(outcome.status, Some(2), "{}", outcome.stderr);
            continue;
        }
        let values =
            ["workers", "backlog", "max_requests_jitter"].map(|name| value(&outcome, name));
        assert_eq!(values, ["4", "7", "3"], "{args:?}");
    }
    let refused = |args: &[&str], message: &str| {
        let outcome = printing(kind).args(args).run();
        let name = kind.name();
        let usage = format!("usage: {name} [OPTIONS] [APP_MODULE]\n{name}: error: {message}");
        assert_eq!(outcome.status, Some(2), "{args:?}");
        assert!(outcome.stderr.starts_with(&usage), "{args:?}: {}", outcome.stderr);
    };
    let ambiguous = "ambiguous option: --work=3 could match --workers, --worker-class, \
                     --worker-connections, --worker-tmp-dir";
    refused(&["--work=3"], ambiguous);
    refused(
        &["--log"],
        "ambiguous option: --log could match --log-file, --log-level, --logger-class, --log-config, \
         --log-config-json, --log-syslog-to, --log-syslog, --log-syslog-prefix, --log-syslog-facility",
    );
    let ambiguous = "ambiguous option: --h could match --help, --http-protocols, --http2-cleartext, \
                     --http2-max-concurrent-streams, --http2-initial-window-size, \
                     --http2-max-frame-size, --http2-max-header-list-size, --header-map, --http-parser";
    refused(&["--h"], ambiguous);
    refused(
        &["--w=1"],
        "ambiguous option: --w=1 could match --workers, --worker-class, --worker-connections, \
         --worker-tmp-dir, --websocket-max-message-size",
    );
    refused(&["-w", "--bind", "x"], "argument -w/--workers: expected one argument");
    refused(&["-n", "-x"], "argument -n/--name: expected one argument");
    refused(&["-w", "x", "-v"], "argument -w/--workers: invalid int value: 'x'");
    refused(&["app:app", "--reload", "true"], "unrecognized arguments: true");
    refused(&["app:app", "-w", "2", "--", "x"], "unrecognized arguments: ");
    refused(&["-vx"], "argument -v/--version: ignored explicit argument 'x'");
    refused(&["-Dx"], "argument -D/--daemon: ignored explicit argument 'x'");
    refused(&["-DR=1"], "argument -R/--enable-stdio-inheritance: ignored explicit argument '=1'");
    refused(&["--no-such-flag"], "unrecognized arguments: --no-such-flag");
    // The variable is parsed like a command line, and its positional arguments mean nothing.
    let outcome = printing(kind).env("GUNICORN_CMD_ARGS", "-w 'x y'").run();
    assert_eq!(outcome.status, Some(2));
    assert!(
        outcome.stderr.contains("-w/--workers: invalid int value: 'x y'"),
        "{}",
        outcome.stderr
    );
    let outcome = printing(kind).env("GUNICORN_CMD_ARGS", "-n 'x").run();
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.starts_with("\nError: No closing quotation"), "{}", outcome.stderr);
}

/// The path of a function is imported when the conf file has been executed.
fn dotted_hooks(kind: ServerKind) {
    for (path, message) in [
        ("nodots", "Value 'nodots' is not import string. Format: module[.submodules...].object"),
        ("rg_nowhere.f", "No module named 'rg_nowhere'"),
        ("posixpath.nothing", "Can not load 'nothing' from 'posixpath'"),
        ("posixpath.join", "Value must have an arity of: 2"),
    ] {
        let conf = format!("workers = 2\npre_fork = '{path}'\n");
        let outcome = printing(kind).file("gunicorn.conf.py", &conf).run();
        assert_eq!(outcome.status, Some(1), "{path}");
        let said = format!("Invalid value for pre_fork: {path}\n\n\nError: {message}");
        assert!(outcome.stderr.starts_with(&said), "{}", outcome.stderr);
    }
}

/// A worker class given by itself. Threads do not make another one of it.
fn class_objects(kind: ServerKind) {
    for (module, class) in [("sync", "SyncWorker"), ("gthread", "ThreadWorker")] {
        let conf = format!(
            "from gunicorn.workers.{module} import {class}\nworker_class = {class}\nthreads = 3\n"
        );
        let outcome = printing(kind).file("gunicorn.conf.py", &conf).run();
        assert_eq!(value(&outcome, "worker_class"), format!("<{class}()>"));
        let server = Builder::new(kind).app("echo:quiet").file("gunicorn.conf.py", &conf).start();
        let line = server.log.wait_for("Using worker: ");
        assert!(line.ends_with(&format!("[INFO] Using worker: {class}")), "{line}");
    }
}

/// A configuration that is wrong as a whole.
fn failures(kind: ServerKind) {
    let refused = |builder: Builder, status: i32, start: &str| {
        let outcome = builder.run();
        assert_eq!(outcome.status, Some(status), "{start}");
        assert!(outcome.stderr.starts_with(start), "{start:?}: {}", outcome.stderr);
    };
    let builder = printing(kind).in_own_dir().args(["--chdir", "nowhere"]);
    refused(builder, 1, "\nError: can't chdir to 'nowhere'");
    let builder = printing(kind).in_own_dir().file("file", "").args(["--chdir", "file"]);
    let path = builder.dir().join("file");
    let message = format!("\nError: [Errno 20] Not a directory: '{}'", path.display());
    refused(builder, 1, &message);
    refused(printing(kind).args(["-c", "no.py"]), 1, "\nError: 'no.py' doesn't exist");
    refused(
        printing(kind).args(["-c", "python:rg_nowhere"]),
        1,
        "\nError: No module named 'rg_nowhere'",
    );
    let conf = "import sys\nsys.exit(7)\n";
    refused(printing(kind).file("gunicorn.conf.py", conf), 7, "");
    let builder = printing(kind).file("x.conf", "1/0\n").args(["-c", "x.conf"]);
    let warning = "!!!\n!!! WARNING: configuration file should have a valid Python extension.\n!!!\n\n\
                   Failed to read config file: x.conf\nTraceback (most recent call last):\n";
    refused(builder, 1, warning);
    // The first wrong name of the file is the one that is told.
    let builder = printing(kind).file("gunicorn.conf.py", "timeout = 'y'\nworkers = 'x'\n");
    refused(builder, 1, "Invalid value for timeout: y\n\n\nError: invalid literal for int() with");
}

/// A configuration that can be read, but not be served by.
fn failures_of_the_start(kind: ServerKind) {
    let refused = |args: &[&str], message: &str| {
        let outcome = Builder::new(kind).app("echo:quiet").args(args).run();
        assert_eq!(outcome.status, Some(1), "{args:?}");
        let said = format!("\nError: {message}\n\n");
        assert!(outcome.stderr.ends_with(&said), "{args:?}: {}", outcome.stderr);
    };
    for flag in ["--error-logfile", "--access-logfile"] {
        for (path, reason) in [
            ("", "FileNotFoundError(2, 'No such file or directory')"),
            ("no where/log", "FileNotFoundError(2, 'No such file or directory')"),
            ("/", "IsADirectoryError(21, 'Is a directory')"),
            ("echo.py/log", "NotADirectoryError(20, 'Not a directory')"),
        ] {
            refused(&[flag, path], &format!("Error: '{path}' isn't writable [{reason}]"));
        }
    }
    refused(&["--env", "A"], "environment setting 'A' invalid");
    refused(&["--log-syslog", "--log-syslog-to", "x"], "invalid syslog address");
    refused(&["--log-config", "none.ini"], "Error: log config 'none.ini' not found");
    refused(&["--pid", "/nowhere/x.pid"], "/nowhere doesn't exist. Can't create pidfile.");

    // Whoever asks for the configuration gets it.
    let outcome = printing(kind).args(["--worker-tmp-dir", "/nowhere"]).run();
    assert_eq!(value(&outcome, "worker_tmp_dir"), "/nowhere");
}

/// The configuration in the log, without addresses in memory.
fn dump(kind: ServerKind) -> Vec<String> {
    let conf = "def on_exit(server): pass\n\
                class Own:\n    def __call__(self, server, worker): pass\n\
                pre_fork = Own()\npost_fork = 'factories.hook'\n\
                from gunicorn.workers.gthread import ThreadWorker\nworker_class = ThreadWorker\n\
                from gunicorn.glogging import Logger\nlogger_class = Logger\n\
                raw_env = ['A=b']\nworker_connections = 2\nthreads = 2\n";
    let builder = Builder::new(kind)
        .in_own_dir()
        .file("factories.py", "def hook(server, worker): pass\ndef application(e, s): return []\n")
        .file("gunicorn.conf.py", conf)
        .app("factories")
        .args(["--log-level", "debug"]);
    let directory = builder.dir().display().to_string();
    let server = builder.start();
    // gthread without room for connections beside those of its threads.
    let warning = server.log.wait_for("[WARNING] ");
    let expected = "No keepalived connections can be handled. Check the number of worker connections and \
                    threads.";
    assert!(warning.ends_with(expected), "{warning}");
    let text = server.log.text().replace(&directory, "DIRECTORY");
    let (_, rows) =
        text.split_once("Current configuration:\n").expect("the configuration is logged");
    let rows = rows.lines().take_while(|line| line.starts_with("  "));
    rows.map(|line| {
        let (before, address) = line.split_once(" at 0x").unwrap_or((line, ""));
        before.to_owned() + address.trim_start_matches(|c: char| c.is_ascii_hexdigit())
    })
    .collect()
}

#[test]
fn both_servers_log_the_same_configuration() {
    if std::env::var_os("SERVER_UNDER_TEST").is_some() {
        // It takes both.
        return;
    }
    let (ours, theirs) = (dump(ServerKind::Rgunicorn), dump(ServerKind::Gunicorn));
    assert_eq!(theirs.len(), 120);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        // The tests turn it off, and its default path has the name of the program.
        if !theirs.contains(": <function PostRequest") && !theirs.starts_with("  control_socket") {
            assert_eq!(ours, theirs);
        }
    }
}

/// Settings in TOML take the place of a conf file.
fn toml(kind: ServerKind) {
    let text = "workers = 2\nbacklog = 22\nbind = ['127.0.0.1:1', 'unix:/x']\n\
                [secure_scheme_headers]\nX-TLS = 'on'\n";
    let check = |builder: Builder| {
        let outcome = builder.args(["-w", "3"]).run();
        assert_eq!(value(&outcome, "workers"), "3");
        assert_eq!(value(&outcome, "backlog"), "22");
        assert_eq!(value(&outcome, "bind"), "['127.0.0.1:1', 'unix:/x']");
        assert_eq!(value(&outcome, "secure_scheme_headers"), "{'X-TLS': 'on'}");
    };
    check(printing(kind).file("rgunicorn.toml", text));
    check(printing(kind).file("other.toml", text).args(["-c", "other.toml"]));
    let project = format!("[project]\nname = 'shop'\n[tool.rgunicorn]\n{text}")
        .replace("[secure_scheme_headers]", "[tool.rgunicorn.secure_scheme_headers]");
    check(printing(kind).file("pyproject.toml", &project));

    let refused = |builder: Builder, sentence: &str| {
        let outcome = builder.run();
        assert_eq!(outcome.status, Some(1), "{sentence}");
        assert!(outcome.stderr.contains(sentence), "{}", outcome.stderr);
    };
    refused(
        printing(kind).file("rgunicorn.toml", text).file("gunicorn.conf.py", ""),
        "settings in gunicorn.conf.py and in rgunicorn.toml; remove one of them",
    );
    refused(
        printing(kind).file("rgunicorn.toml", "keep_alive = 3\n"),
        "rgunicorn.toml); did you mean 'keepalive'?",
    );
    refused(printing(kind).file("rgunicorn.toml", "workers = 2.5\n"), "(workers in /");

    // A hook is named by its path.
    let outcome = printing(kind)
        .in_own_dir()
        .file("factories.py", "application = print\ndef ready(server): pass\n")
        .file("rgunicorn.toml", "when_ready = 'factories.ready'\n")
        .run();
    assert_eq!(value(&outcome, "when_ready"), "<ready()>");
}

fn toml_is_read_again(kind: ServerKind) {
    let builder = Builder::new(kind).file("rgunicorn.toml", "proc_name = 'one'\n");
    let server = builder.app("echo:quiet").start();
    let path = server.dir().join("rgunicorn.toml");
    std::fs::write(&path, "proc_name = 'one'\nworkers = 2\n").expect("it is our directory");
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.log.wait_for_count("Booting worker with pid: ", 3);
    std::fs::write(&path, "workers = 'x'\n").expect("it is our directory");
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.log.wait_for("invalid literal for int() with base 0: 'x'");
}

/// Names in a conf file that were meant as settings are told when it is checked.
fn similar_names(kind: ServerKind) {
    let conf = "import os\nworker = 4\nlog_level = 'debug'\nloglevel = log_level\ncpus = 2\n";
    let check =
        || Builder::new(kind).app("factories").without_bind().file("gunicorn.conf.py", conf);
    let outcome = check().args(["--check-config"]).run();
    let warning = "Warning: 'worker' in the conf file is not a setting and has no effect; did you mean \
                   'workers'?\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), warning));
}
