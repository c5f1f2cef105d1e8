//! Where settings come from and which place wins, seen through `--print-config`.

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Outcome, ServerKind};

on_both_servers!(layers, conf_file_places, environment, version, conf_file_code, threads);

on_rgunicorn!(own_limits);

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
