//! Files of the logs: rotation, changes at HUP, captured output, and outputs that take nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind, until, venv};

on_both_servers!(
    moved_files_are_made_anew,
    a_reload_changes_the_logs,
    output_is_captured,
    outputs_that_take_nothing
);

on_rgunicorn!(json_lines, a_reload_changes_syslog_and_form);

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[track_caller]
fn wait_for(path: &Path, needle: &str) {
    until(BOUND, &format!("`{needle}` in {}", path.display()), || {
        read(path).contains(needle).then_some(())
    });
}

#[track_caller]
fn ask(server: &Server, target: &str) {
    assert_eq!(server.get(target).status, 200);
}

/// A server whose two logs are files in its directory.
fn to_files(kind: ServerKind, app: &str) -> (Builder, std::path::PathBuf, std::path::PathBuf) {
    let builder = Builder::new(kind).app(app);
    let (error, access) = (builder.dir().join("error.log"), builder.dir().join("access.log"));
    let builder = builder.args(["--error-logfile"]).args([&error]);
    (builder.args(["--access-logfile"]).args([&access]), error, access)
}

fn moved_files_are_made_anew(kind: ServerKind) {
    let (builder, error, access) = to_files(kind, "echo:quiet");
    let server = builder.spawn();
    wait_for(&error, "Booting worker");
    ask(&server, "/before");
    wait_for(&access, "/before");
    for path in [&error, &access] {
        let mode = fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{}", path.display());
        fs::rename(path, path.with_extension("1")).expect("it can be moved");
    }
    ask(&server, "/between");
    wait_for(&access.with_extension("1"), "/between");
    server.signal(Signal::SIGUSR1);
    until(BOUND, "the files", || (error.exists() && access.exists()).then_some(()));
    // The master comes first; the worker follows at some time.
    until(BOUND, "a line in the new file", || {
        ask(&server, "/after");
        read(&access).contains("/after").then_some(())
    });
    server.exchange("BAD\r\n\r\n");
    wait_for(&error, "Invalid request");
    assert!(!read(&error).contains("Booting"));
}

fn a_reload_changes_the_logs(kind: ServerKind) {
    let config = |directory: &Path, number: u32, level: &str| {
        let text = format!(
            "accesslog = '{0}/access.{number}'\nerrorlog = '{0}/error.{number}'\n\
             access_log_format = '{number} %(U)s'\nloglevel = '{level}'\n",
            directory.display()
        );
        fs::write(directory.join("logs.py"), text).expect("the directory is writable");
    };
    let builder = Builder::new(kind).app("supervised:app");
    let directory = builder.dir().to_owned();
    config(&directory, 1, "info");
    let server = builder.args(["-c"]).args([directory.join("logs.py")]).spawn();
    server.log.wait_for("note: loaded in ");
    ask(&server, "/pid");
    wait_for(&directory.join("access.1"), "1 /pid\n");
    let old = server.workers();
    config(&directory, 2, "error");
    server.signal(Signal::SIGHUP);
    until(BOUND, "new workers", || {
        let now = server.workers();
        (now.len() == 1 && now != old).then_some(())
    });
    until(BOUND, "a line in the new form", || {
        ask(&server, "/pid");
        read(&directory.join("access.2")).contains("2 /pid\n").then_some(())
    });
    // Warnings are not shown any more, by the worker either.
    server.exchange("BAD\r\n\r\n");
    assert_eq!(server.get("/none").status, 500);
    wait_for(&directory.join("error.2"), "KeyError");
    assert!(!read(&directory.join("error.2")).contains("Invalid request"));
    assert!(!read(&directory.join("error.2")).contains("Booting"));
}

fn output_is_captured(kind: ServerKind) {
    let (builder, error, _) = to_files(kind, "supervised:app");
    let server = builder.args(["--capture-output"]).spawn();
    wait_for(&error, "note: loaded in ");
    ask(&server, "/printed");
    wait_for(&error, "printed by the application\n");
    fs::rename(&error, error.with_extension("1")).expect("it can be moved");
    server.signal(Signal::SIGUSR1);
    until(BOUND, "print in the new file", || {
        ask(&server, "/printed");
        read(&error).contains("printed by the application\n").then_some(())
    });
    assert_eq!((server.out.text(), server.log.text()), (String::new(), String::new()));
}

/// A full disk, and a pipe that nobody reads any more.
fn outputs_that_take_nothing(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:quiet");
    let pipe = builder.dir().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe can be made");
    let both = fs::File::options().read(true).write(true).open(&pipe).expect("it is there");
    let server =
        builder.args(["--error-logfile", "/dev/full", "--access-logfile"]).args([&pipe]).spawn();
    until(BOUND, "a worker", || (!server.workers().is_empty()).then_some(()));
    ask(&server, "/read");
    drop(both);
    ask(&server, "/unread");
    server.exchange("BAD\r\n\r\n");
    ask(&server, "/still");
}

/// Reads lines of JSON with Python and shows some members of each.
fn parsed(path: &Path, members: &str) -> String {
    let script = "import json, sys\n\
                  for line in open(sys.argv[1], newline='\\n'):\n    \
                      record = json.loads(line)\n    \
                      print(*(record[name] for name in sys.argv[2].split()), sep='|')";
    let output = Command::new(venv::program("python"))
        .args(["-c", script])
        .arg(path)
        .arg(members)
        .output()
        .expect("the test environment has a python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json_lines(kind: ServerKind) {
    let (builder, error, access) = to_files(kind, "logged:app");
    let server = builder.args(["--error-log-format", "json", "--access-logformat", "json"]).spawn();
    wait_for(&error, "Booting worker");
    server.exchange(
        "GET /plain/%0a%22?x=\"1\" HTTP/1.1\r\nUser-Agent: a \"b\" \\ \u{e9}\r\n\
         Connection: close\r\n\r\n",
    );
    server
        .exchange(b"GET /plain HTTP/1.1\r\nUser-Agent: \xff\xfe\x85\r\nConnection: close\r\n\r\n");
    server.exchange(b"\x16\x03\x01\x02\r\n\r\n");
    assert_eq!(server.get("/fail").status, 500);
    wait_for(&access, "/fail");
    assert_eq!(
        parsed(&access, "remote_addr method path query status bytes user_agent target")
            .replace("\u{a0}", ""),
        "127.0.0.1|GET|/plain/\n\"|x=\"1\"|200|5|a \"b\" \\ \u{e9}|/plain/%0a%22?x=\"1\"\n\
         127.0.0.1|GET|/plain||200|5|\u{ff}\u{fe}\u{85}|/plain\n\
         127.0.0.1|None|None|None|400|0|None|\u{16}\u{3}\u{1}\u{2}\n\
         127.0.0.1|GET|/fail||500|0|None|/fail\n"
    );
    assert!(
        parsed(&access, "time duration waited pid protocol host referer user").lines().count() == 4
    );
    let records = parsed(&error, "level message");
    let begin = "ERROR|Error handling request GET /fail\nTraceback";
    assert!(records.contains(begin), "{records}");
    assert!(records.contains("\nValueError: made by the test"), "{records}");
    assert_eq!(parsed(&error, "time pid").lines().count(), read(&error).lines().count());
}

fn a_reload_changes_syslog_and_form(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app");
    let directory = builder.dir().to_owned();
    let daemon = std::os::unix::net::UnixDatagram::bind(directory.join("log")).expect("a path");
    daemon.set_nonblocking(true).expect("it need not wait");
    let path = directory.join("logs.py");
    fs::write(&path, "").expect("the directory is writable");
    let server = builder.args(["-c"]).args([&path]).start();
    server.log.wait_for("note: loaded in ");
    let text = format!(
        "syslog = True\nsyslog_addr = 'unix://{}/log'\nerror_log_format = 'json'\n",
        directory.display()
    );
    fs::write(&path, text).expect("the directory is writable");
    server.signal(Signal::SIGHUP);
    server.log.wait_for(",\"message\":\"Booting worker with pid: ");
    let mut records = String::new();
    let mut receive = || {
        let mut buffer = [0; 4096];
        while let Ok(count) = daemon.recv(&mut buffer) {
            records += &String::from_utf8_lossy(&buffer[..count]);
        }
        records.contains(".error: [") && records.contains(".access: [")
    };
    until(BOUND, "records of both logs", || {
        ask(&server, "/pid");
        receive().then_some(())
    });
}
