//! What a user gets wrong: one clear message, the right exit status, no panic, nobody left behind.
//!
//! Applications that cannot be loaded are in `conformance::loading`, pid files in
//! `supervision::pid_file`, reloads in `supervision::reloads`.

use std::net::{Ipv4Addr, TcpListener};

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::server::is_wheel;
use crate::harness::{Builder, Outcome, ServerKind};

on_both_servers!(
    options,
    conf_file_values,
    conf_file_itself,
    files_that_cannot_be_written,
    port_in_use,
    address_of_another_machine,
    not_a_socket,
);

on_rgunicorn!(
    unknown_options_get_a_suggestion,
    missing_settings_are_refused,
    impossible_addresses_are_refused,
    wrong_virtual_environments_are_named
);

/// Fails unless the command ended with this status and says this, without starting anything.
#[track_caller]
fn assert_refused(outcome: &Outcome, status: i32, message: &str, what: &str) {
    let stderr = &outcome.stderr;
    assert_eq!(outcome.status, Some(status), "{what}: {stderr}");
    assert!(stderr.contains(message), "{what}: wanted {message:?} in\n{stderr}");
    assert!(!stderr.contains("panicked"), "{what}: {stderr}");
    assert!(!stderr.contains("Booting worker"), "{what}: {stderr}");
    assert_eq!(outcome.stdout, "", "{what}");
}

fn command(kind: ServerKind, args: &[&str]) -> Outcome {
    Builder::new(kind).app("echo:app").in_own_dir().without_bind().args(args).run()
}

/// Arguments, exit status, message.
const OPTIONS: &[(&[&str], i32, &str)] = &[
    (&["-b", "127.0.0.1:nope"], 1, "Error: 'nope' is not a valid port number."),
    (&["-w", "-1"], 1, "Error: Value must be positive: -1"),
    (&["-w", "abc"], 2, "error: argument -w/--workers: invalid int value: 'abc'"),
    (&["--timeout", "1.5"], 2, "error: argument -t/--timeout: invalid int value: '1.5'"),
    (&["--backlog", ""], 2, "error: argument --backlog: invalid int value: ''"),
    (&["--chdir", "/nonexistent"], 1, "Error: can't chdir to '/nonexistent'"),
    (&["-e", "NOEQUALS"], 1, "Error: environment setting 'NOEQUALS' invalid"),
    (&["--header-map", "foo"], 1, "Error: Invalid header map behaviour: foo"),
    (
        &["--forwarded-allow-ips", "1.2.3"],
        1,
        "Error: '1.2.3' does not appear to be an IPv4 or IPv6 network",
    ),
    (&["--forwarded-allow-ips", "10.0.0.1/8"], 1, "Error: 10.0.0.1/8 has host bits set"),
    (&["-w", "--no-sendfile"], 2, "error: argument -w/--workers: expected one argument"),
    (&["--wrokers", "3"], 2, "error: unrecognized arguments: --wrokers"),
];

fn options(kind: ServerKind) {
    for &(args, status, message) in OPTIONS {
        assert_refused(&command(kind, args), status, message, &format!("{args:?}"));
    }
    let outcome = Builder::new(kind)
        .app("echo:app")
        .without_bind()
        .env("GUNICORN_CMD_ARGS", "--no-such-option")
        .run();
    assert_refused(&outcome, 2, "--no-such-option", "GUNICORN_CMD_ARGS");
}

/// Conf file, message.
const VALUES: &[(&str, &str)] = &[
    ("workers = 'many'", "Error: invalid literal for int() with base 0: 'many'"),
    ("workers = -2", "Error: Value must be positive: -2"),
    ("workers = None", "Error: "),
    ("workers = 1.5", "Error: "),
    ("timeout = []", "Error: "),
    ("bind = 5", "Error: "),
    ("bind = [5]", "Error: Not a string: 5"),
    ("loglevel = 3", "Error: Not a string: 3"),
    ("preload_app = 1", "Error: Invalid type for casting: 1"),
    ("preload_app = 'yes'", "Error: Invalid boolean: yes"),
    ("secure_scheme_headers = []", "Error: Value is not a dictionary: []"),
    ("raw_env = ['X']", "Error: environment setting 'X' invalid"),
    ("header_map = 'foo'", "Error: Invalid header map behaviour: foo"),
    ("forwarded_allow_ips = ['127.0.0.1']", "Error: Not a string: ['127.0.0.1']"),
    ("chdir = '/nonexistent'", "Error: can't chdir to '/nonexistent'"),
];

fn conf_file_values(kind: ServerKind) {
    for &(text, message) in VALUES {
        let outcome = Builder::new(kind)
            .app("echo:app")
            .without_bind()
            .file("gunicorn.conf.py", &format!("{text}\n"))
            .run();
        assert_refused(&outcome, 1, message, text);
        let (name, value) = text.split_once(" = ").expect("an assignment");
        if name != "raw_env" {
            let value = value.trim_matches('\'');
            let line = format!("Invalid value for {name}: {value}");
            assert!(outcome.stderr.contains(&line), "{text}: {}", outcome.stderr);
        }
    }
}

fn conf_file_itself(kind: ServerKind) {
    let outcome = command(kind, &["-c", "/nonexistent.py"]);
    assert_refused(&outcome, 1, "Error: '/nonexistent.py' doesn't exist", "missing");

    let outcome = command(kind, &["-c", "python:no_such_module"]);
    assert_refused(&outcome, 1, "no_such_module", "missing module");

    let with = |text: &str| {
        Builder::new(kind)
            .app("echo:app")
            .without_bind()
            .file("conf.py", text)
            .args(["-c", "conf.py"])
    };
    let outcome = with("x = 1\nraise ValueError('from the file')\n").run();
    assert_refused(&outcome, 1, "Failed to read config file: conf.py", "raises");
    assert_refused(&outcome, 1, "conf.py\", line 2, in <module>", "raises");
    assert_refused(&outcome, 1, "ValueError: from the file", "raises");

    let outcome = with("workers = (\n").run();
    assert_refused(&outcome, 1, "SyntaxError: '(' was never closed", "syntax error");

    let outcome = with("import sys\nsys.exit(5)\n").run();
    assert_eq!(outcome.status, Some(5), "{}", outcome.stderr);

    // A file that cannot be read: root may read everything, so a directory stands for it.
    let outcome = command(kind, &["-c", "/tmp"]);
    assert_refused(&outcome, 1, "Failed to read config file: /tmp", "unreadable");
}

fn files_that_cannot_be_written(kind: ServerKind) {
    for flag in ["--error-logfile", "--log-file", "--access-logfile"] {
        let outcome = command(kind, &[flag, "/nonexistent/x.log"]);
        let message = "Error: '/nonexistent/x.log' isn't writable [";
        assert_refused(&outcome, 1, message, flag);
    }
}

fn port_in_use(kind: ServerKind) {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let port = taken.local_addr().expect("it has an address").port();
    let outcome = command(kind, &["-b", &format!("127.0.0.1:{port}")]);
    let address = format!("('127.0.0.1', {port})");
    assert_refused(&outcome, 1, &format!("[ERROR] Connection in use: {address}"), "in use");
    assert_refused(&outcome, 1, &format!("[ERROR] Can't connect to {address}"), "in use");
    let attempts =
        outcome.stderr.matches(&format!("[ERROR] connection to {address} failed: ")).count();
    assert_eq!(attempts, 5, "{}", outcome.stderr);
}

fn address_of_another_machine(kind: ServerKind) {
    let outcome = command(kind, &["-b", "203.0.113.1:9"]);
    let message = "[ERROR] Invalid address: ('203.0.113.1', 9)";
    assert_refused(&outcome, 1, message, "another machine");
    assert_refused(&outcome, 1, "[ERROR] Can't connect to ('203.0.113.1', 9)", "another machine");
}

fn not_a_socket(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:app").file("web.sock", "a file somebody needs\n");
    let path = builder.dir().join("web.sock");
    let outcome = builder.binding(&format!("unix:{}", path.display())).run();
    let message = format!("'{}' is not a socket", path.display());
    assert_refused(&outcome, 1, &message, "unix path");
}

/// What rgunicorn says better.
fn unknown_options_get_a_suggestion(kind: ServerKind) {
    for (option, suggestion) in
        [("--wrokers", "--workers"), ("--bnid", "--bind"), ("--acess-logfile", "--access-logfile")]
    {
        let outcome = command(kind, &[option, "3"]);
        assert_refused(&outcome, 2, option, option);
        assert_refused(&outcome, 2, suggestion, option);
    }
}

/// Settings of gunicorn that are not built yet are refused by name, not ignored.
fn missing_settings_are_refused(kind: ServerKind) {
    for (args, name) in [(&["--certfile", "x.pem"][..], "certfile"), (&["-k", "gevent"], "gevent")]
    {
        let outcome = command(kind, args);
        assert!(matches!(outcome.status, Some(1 | 2)), "{args:?}: {:?}", outcome.status);
        let status = outcome.status.unwrap_or_default();
        assert_refused(&outcome, status, name, name);
    }
    for text in
        ["certfile = 'x.pem'", "def on_dirty_starting(arbiter):\n    pass", "root_path = '/x'"]
    {
        let outcome = Builder::new(kind)
            .app("echo:app")
            .without_bind()
            .file("gunicorn.conf.py", &format!("{text}\n"))
            .run();
        let name = text.trim_start_matches("def ");
        let name = name.split(|char: char| !char.is_alphanumeric() && char != '_').next();
        assert_refused(&outcome, 1, name.expect("a name"), text);
    }
}

/// An address that cannot work is refused by name. gunicorn prints a Python traceback for one of
/// these and says `'' is not a valid port number.` of the other.
fn impossible_addresses_are_refused(kind: ServerKind) {
    for address in ["127.0.0.1:99999", "[::1"] {
        let outcome = command(kind, &["-b", address]);
        assert_refused(&outcome, 1, address.trim_start_matches("127.0.0.1:"), address);
        assert!(!outcome.stderr.contains("Traceback"), "{}", outcome.stderr);
    }
}

/// A virtual environment that is not there, or of another Python, is named with the cure.
fn wrong_virtual_environments_are_named(kind: ServerKind) {
    let outcome = command(kind, &["--venv", "/nonexistent"]);
    assert_refused(&outcome, 1, "/nonexistent", "venv");

    let builder = Builder::new(kind).app("echo:app").without_bind();
    let dir = builder.dir().join("venv");
    std::fs::create_dir_all(dir.join("bin")).expect("the directory is writable");
    std::fs::create_dir_all(dir.join("lib/python3.5/site-packages")).expect("it is writable");
    let home = "home = /usr/bin\nversion = 3.5.1\n";
    std::fs::write(dir.join("pyvenv.cfg"), home).expect("the directory is writable");
    std::os::unix::fs::symlink("/bin/false", dir.join("bin/python")).expect("it is writable");
    let outcome = builder.args(["--venv"]).args([&dir]).run();
    // What runs in an interpreter already can use no other environment, of whatever version.
    let named = if is_wheel() {
        ["cannot use --venv", "runs in its Python 3."]
    } else {
        ["3.5", env!("RGUNICORN_PYTHON_VERSION")]
    };
    for named in named {
        assert_refused(&outcome, 1, named, "venv of another version");
    }
}
