use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;
use tracing_subscriber::layer::SubscriberExt;

use super::access::{Entry, Lookup, Source, Value};
use super::error::{ErrorLayer, Severity};
use super::{CRITICAL, Logs};
use crate::config::Config;
use crate::error::Exit;
use crate::sys::signal::{self, Signal};
use crate::sys::testing::{alone, in_child};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("tempdir"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect(name)
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.0.path().join(from), self.0.path().join(to)).expect("rename");
    }

    fn config(&self) -> Config {
        Config {
            errorlog: Some(self.path("error.log")),
            accesslog: Some(self.path("access.log")),
            access_log_format: "%(m)s %(U)s".to_owned(),
            loglevel: "info".to_owned(),
            ..Config::default()
        }
    }
}

/// The environ of a GET.
struct Get<'a>(&'a [u8]);

impl Lookup for Get<'_> {
    fn find(&self, _: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        show(Value::Bytes(if name == "PATH_INFO" { self.0 } else { b"GET" }));
        true
    }
}

fn open(config: &Config) -> Logs {
    Logs::open(config, None).expect("open")
}

/// Logs a record of each level.
fn log_all(logs: &Logs) {
    let layer = ErrorLayer(Arc::clone(&logs.error));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::trace!("never");
        tracing::debug!("small");
        tracing::info!("number {}", 1);
        tracing::warn!(signal = 9, "odd");
        tracing::error!("two\n  lines");
        tracing::error!(target: CRITICAL, "end");
    });
}

fn messages(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split_once("] [").map_or(line, |(_, rest)| rest)).collect()
}

fn entry<'a>(get: &'a Get<'a>) -> Entry<'a> {
    Entry {
        line: None,
        status: None,
        sent: 0,
        elapsed: Duration::ZERO,
        waited: Duration::ZERO,
        pid: 1,
        lookup: get,
    }
}

fn log_request(logs: &Logs, path: &[u8]) {
    let access = logs.access.lock().expect("lock").clone().expect("access log");
    access.log(&entry(&Get(path)), false);
}

#[test]
fn records_have_gunicorns_form() {
    let place = Place::new();
    let logs = open(&place.config());
    log_all(&logs);
    let text = place.read("error.log");
    let pid = std::process::id();
    let expected = [
        format!("{pid}] [INFO] number 1"),
        format!("{pid}] [WARNING] odd signal=9"),
        format!("{pid}] [ERROR] two"),
        "  lines".to_owned(),
        format!("{pid}] [CRITICAL] end"),
    ];
    assert_eq!(messages(&text), expected);
    let stamp = text.split_inclusive(']').next().expect("stamp");
    let form: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form.replace('-', "+"), "[0000+00+00 00:00:00 +0000]");
}

#[test]
fn the_level_is_the_least_that_is_shown() {
    for (level, count) in [
        ("debug", 6),
        ("INFO", 5),
        ("Warning", 4),
        ("error", 3),
        ("critical", 1),
        ("nonsense", 5),
        ("", 5),
    ] {
        let place = Place::new();
        let logs = open(&Config { loglevel: level.to_owned(), ..place.config() });
        log_all(&logs);
        assert_eq!(messages(&place.read("error.log")).len(), count, "{level}");
    }
}

#[test]
fn a_child_writes_to_the_same_file_with_its_own_pid() {
    // Alone, because a fork may find the C library's time zone lock held by another test.
    alone("log::tests::a_child_writes_to_the_same_file_with_its_own_pid", || {
        let place = Place::new();
        let logs = open(&place.config());
        in_child(|| {
            logs.error.record(Severity::Info, "child");
            log_request(&logs, b"/child");
            Ok(())
        });
        logs.error.record(Severity::Info, "parent");
        log_request(&logs, b"/parent\n");
        let text = place.read("error.log");
        let lines = messages(&text);
        assert!(lines[0].ends_with("] [INFO] child"), "{lines:?}");
        assert_eq!(lines[1], format!("{}] [INFO] parent", std::process::id()));
        assert_ne!(lines[0].split(']').next(), lines[1].split(']').next());
        assert_eq!(place.read("access.log"), "GET /child\nGET /parent\\x0a\n");
    });
}

#[test]
fn moved_files_are_opened_again() {
    let place = Place::new();
    let logs = open(&place.config());
    let number = logs.error.output.as_fd().as_raw_fd();
    logs.error.record(Severity::Info, "first");
    log_request(&logs, b"/first");
    place.rename("error.log", "error.old");
    place.rename("access.log", "access.old");
    logs.error.record(Severity::Info, "second");
    logs.reopen();
    logs.error.record(Severity::Info, "third");
    log_request(&logs, b"/third");
    assert_eq!(messages(&place.read("error.old")).len(), 2);
    assert!(place.read("error.log").ends_with("third\n"));
    assert_eq!(place.read("access.old"), "GET /first\n");
    assert_eq!(place.read("access.log"), "GET /third\n");
    assert_eq!(logs.error.output.as_fd().as_raw_fd(), number);
}

#[test]
fn a_file_that_cannot_be_reopened_stays_open() {
    let place = Place::new();
    fs::create_dir(place.path("sub")).expect("mkdir");
    let logs = open(&Config { errorlog: Some(place.path("sub/error.log")), ..place.config() });
    place.rename("sub", "moved");
    logs.reopen();
    logs.error.record(Severity::Info, "still here");
    assert!(place.read("moved/error.log").ends_with("still here\n"));
}

#[test]
fn a_changed_configuration_is_taken_over_or_nothing_of_it() {
    let place = Place::new();
    let logs = open(&place.config());
    let missing = place.path("none/access.log");
    for bad in [
        Config { accesslog: Some(missing), errorlog: Some(place.path("2.log")), ..place.config() },
        Config { access_log_format: "%s".to_owned(), ..place.config() },
    ] {
        assert_eq!(logs.configure(&bad).expect_err("bad").status(), Exit::Config as i32);
        logs.error.record(Severity::Info, "as before");
        assert!(place.read("error.log").ends_with("as before\n"));
    }
    let changed = Config {
        errorlog: Some(place.path("new.log")),
        accesslog: None,
        loglevel: "critical".to_owned(),
        ..place.config()
    };
    logs.configure(&changed).expect("configure");
    log_all(&logs);
    assert_eq!(messages(&place.read("new.log")).len(), 1);
    assert!(logs.access.lock().expect("lock").is_none());

    logs.configure(&Config { errorlog: None, ..changed }).expect("configure");
    log_all(&logs);
    assert_eq!(messages(&place.read("new.log")).len(), 1);
}

#[test]
fn an_unwritable_file_is_named_with_the_reason() {
    let place = Place::new();
    let directory = place.path("");
    for (path, reason) in [
        (place.path("none/error.log"), "FileNotFoundError(2, 'No such file or directory')"),
        (directory.trim_end_matches('/').to_owned(), "IsADirectoryError(21, 'Is a directory')"),
        (String::new(), "FileNotFoundError(2, 'No such file or directory')"),
    ] {
        let config = Config { errorlog: Some(path.clone()), ..place.config() };
        let error = Logs::open(&config, None).err().expect("unwritable");
        let start = format!("Error: '{path}' isn't writable [{reason}]");
        assert_eq!(error.to_string(), start);
        assert_eq!(error.status(), Exit::Config as i32);
        let config = Config { accesslog: Some(path), ..place.config() };
        let error = Logs::open(&config, None).err().expect("unwritable");
        assert_eq!(error.to_string(), start);
    }
    let paths = (Some(place.path("none/error.log")), Some(place.path("access.log")));
    let config = Config { errorlog: paths.0, accesslog: paths.1, ..place.config() };
    assert!(Logs::open(&config, None).is_err());
    assert!(!Path::new(&place.path("access.log")).exists(), "the error log comes first");
}

#[test]
fn a_full_disk_hurts_nobody() {
    let place = Place::new();
    let full = Some("/dev/full".to_owned());
    let logs = open(&Config { errorlog: full.clone(), accesslog: full, ..place.config() });
    log_all(&logs);
    log_request(&logs, b"/");
}

#[test]
fn a_record_behind_one_that_was_cut_off_has_a_line_of_its_own() {
    alone("log::tests::a_record_behind_one_that_was_cut_off_has_a_line_of_its_own", || {
        let place = Place::new();
        let logs = open(&place.config());
        signal::ignore(Signal::XFSZ).expect("ignored");
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("limit");
        let limit = |bytes| setrlimit(Resource::RLIMIT_FSIZE, bytes, hard).expect("limit");
        log_request(&logs, b"/first");
        limit(15);
        log_request(&logs, b"/cut");
        log_request(&logs, b"/lost");
        limit(hard);
        log_request(&logs, b"/next");
        log_request(&logs, b"/last");
        assert_eq!(place.read("access.log"), "GET /first\nGET \nGET /next\nGET /last\n");
    });
}

#[test]
fn held_lines_are_written_together_and_in_order() {
    let place = Place::new();
    let logs = open(&place.config());
    let access = logs.access.lock().expect("lock").clone().expect("access log");
    let log = |path: &[u8], hold| access.log(&entry(&Get(path)), hold);
    log(b"/1", true);
    log(b"/2", true);
    assert_eq!(place.read("access.log"), "");
    log(b"/3", false);
    assert_eq!(place.read("access.log"), "GET /1\nGET /2\nGET /3\n");
    log(b"/4", true);
    access.write_text(b"text\n");
    log(b"/5", true);
    access.write_held();
    access.write_held();
    assert!(place.read("access.log").ends_with("GET /4\ntext\nGET /5\n"));
}

#[test]
fn a_copy_of_the_worker_leaves_held_lines_to_it() {
    alone("log::tests::a_copy_of_the_worker_leaves_held_lines_to_it", || {
        let place = Place::new();
        let logs = open(&place.config());
        let access = logs.access.lock().expect("lock").clone().expect("access log");
        access.log(&entry(&Get(b"/held")), true);
        crate::sys::process::note_copy();
        access.write_text(b"text\n");
        assert_eq!(place.read("access.log"), "text\n");
    });
}

#[test]
fn captured_output_goes_to_the_error_log() {
    alone("log::tests::captured_output_goes_to_the_error_log", || {
        let place = Place::new();
        let config =
            Config { capture_output: true, accesslog: Some("-".to_owned()), ..place.config() };
        let say = |text: &str| {
            // Not `println!`, which the test harness may catch.
            std::io::stdout().write_all(text.as_bytes()).expect("stdout");
            std::io::stdout().flush().expect("flush");
            std::io::stderr().write_all(text.as_bytes()).expect("stderr");
        };
        let logs = open(&config);
        say("one\n");
        log_request(&logs, b"/x");
        assert_eq!(place.read("error.log"), "one\none\nGET /x\n");

        place.rename("error.log", "error.old");
        logs.reopen();
        say("two\n");
        log_request(&logs, b"/y");
        assert_eq!(place.read("error.log"), "two\ntwo\nGET /y\n");

        logs.configure(&Config { capture_output: false, ..config }).expect("configure");
        say("three\n");
        log_request(&logs, b"/z");
        assert_eq!(place.read("error.log"), "two\ntwo\nGET /y\n");
        assert_eq!(place.read("error.old"), "one\none\nGET /x\n");
    });
}

#[test]
fn the_logs_of_the_process_are_installed_once() {
    alone("log::tests::the_logs_of_the_process_are_installed_once", || {
        let place = Place::new();
        let config = place.config();
        assert!(super::error_fd().is_none());
        assert!(super::access_log().is_none());
        super::install(&config, None).expect("install");
        assert!(super::install(&config, None).is_err());
        tracing::debug!("hidden");
        super::configure(&Config { loglevel: "debug".to_owned(), ..config.clone() })
            .expect("debug");
        tracing::debug!("shown");
        super::reopen();
        let text = place.read("error.log");
        assert_eq!(messages(&text), [format!("{}] [DEBUG] shown", std::process::id())]);
        assert!(super::access_log().is_some());
        let fd = super::error_fd().expect("error log");
        nix::unistd::write(fd, b"dump\n").expect("write");
        assert!(place.read("error.log").ends_with("dump\n"));
        super::configure(&Config { errorlog: None, accesslog: None, ..config }).expect("none");
        assert!(super::error_fd().is_none());
        assert!(super::access_log().is_none());
    });
}

#[test]
fn what_is_said_to_nobody_is_no_failure() {
    alone("log::tests::what_is_said_to_nobody_is_no_failure", || {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        crate::sys::fd::redirect(std::io::stderr().as_fd(), writer.as_fd()).expect("redirect");
        super::say("nobody listens");
    });
}
