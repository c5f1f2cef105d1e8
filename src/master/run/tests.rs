//! The real master in a process of its own, with workers that only tell what happens to them.
//!
//! That process is this test binary again, told to run nothing but the test [`CARRIER`], which turns
//! into the server there: forking the process that runs all tests could leave locks of its other
//! threads taken for ever.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::app::{Called, Hooks, Invocation, Seat};
use crate::log;
use crate::scoreboard::{self, StopFlag};
use crate::sys::process::Pid;

/// The test that calls [`be_the_server_if_asked`].
const CARRIER: &str = "master::run::tests::serves_replaces_reloads_and_stops_without_a_trace";

/// Asks to be the server: the first kind, the next kind, the number of workers and the directory.
const ROLE: &str = "RGUNICORN_TEST_MASTER";

/// Who tells, what.
type News = (i32, String);

/// How workers behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Serve until told to go.
    Good,
    /// End at once with this status.
    Boot(i32),
    /// The first panics, later ones are good.
    Panic,
    /// Good, but the first never comes back from its request.
    Stuck,
    /// gthread workers; in the first, one thread is in a request all the time, while the other waits
    /// for the interpreter many times shortly, and then for ever.
    Waiting,
}

impl Kind {
    fn parse(text: &str) -> Self {
        match text {
            "good" => Self::Good,
            "panic" => Self::Panic,
            "stuck" => Self::Stuck,
            "waiting" => Self::Waiting,
            status => Self::Boot(status.parse().unwrap()),
        }
    }
}

struct Workers {
    kind: Kind,
    config: Config,
    /// What workers of the next configuration do.
    next: Kind,
}

impl Workers {
    fn say(what: &str) {
        // One write of less than PIPE_BUF bytes: lines never mix.
        let line = format!("\nnews {} {what}\n", process::getpid());
        // If nobody listens, the test has failed and the process is about to be ended.
        let _ = nix::unistd::write(io::stdout(), line.as_bytes());
    }

    fn wait_for_the_interpreter(seat: &Seat<'_>) {
        seat.slot.mark(1).begin_request(time::monotonic_ns(), b"GET", b"/slow");
        let before = master_wakes();
        for _ in 0..300 {
            seat.slot.mark(0).begin_wait(time::monotonic_ns());
            seat.slot.mark(0).end_request();
            // Over before the master can look.
            seat.bell.ring_if_armed();
            // The time between requests, in which the master could wake up.
            std::thread::sleep(Duration::from_millis(1));
        }
        Self::say(&(master_wakes() - before).to_string());
        seat.slot.mark(0).begin_wait(time::monotonic_ns());
        seat.bell.ring_if_armed();
    }

    /// Tells the signals that arrive, and whether the whole server stops, until one ends the worker.
    fn obey(lifeline: BorrowedFd<'_>, stop: &StopFlag) -> i32 {
        let pipe = Pipe::of_process().unwrap();
        loop {
            let mut fds = [
                PollFd::new(pipe.fd(), PollFlags::POLLIN),
                PollFd::new(lifeline, PollFlags::POLLIN),
            ];
            let _ = poll(&mut fds, PollTimeout::NONE);
            while let Some(signal) = pipe.read() {
                let stops = if stop.is_set() { " stop" } else { "" };
                Self::say(&format!("{}{stops}", signal.short_name()));
                match signal {
                    Signal::TERM | Signal::QUIT => return 0,
                    Signal::ABRT => return 1,
                    _ => {}
                }
            }
            if fds[1].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
                Self::say("orphan");
                return 0;
            }
        }
    }
}

impl Hooks for Workers {}

impl Host for Workers {
    fn before_fork(&mut self) {}
    fn after_fork_parent(&mut self) {}
    fn after_fork_child(&mut self) {}

    fn show_signals(&mut self, _: &[Signal]) -> Result<(), Error> {
        Ok(())
    }

    fn unlocked(&mut self, wait: &mut (dyn FnMut(Option<BorrowedFd<'_>>) + Send)) -> Called {
        wait(None);
        Ok(())
    }

    fn read_config(&mut self) -> Result<Config, Error> {
        self.kind = self.next;
        Ok(self.config.clone())
    }

    fn restore(&mut self, _: &Config) {
        Self::say("restored");
    }

    fn hooks(&mut self) -> &mut dyn Hooks {
        self
    }

    fn invocation(&self) -> Result<Invocation, Error> {
        Err(Error::config("This program is a test."))
    }

    fn invocation_of_itself(&self) -> Invocation {
        unreachable!("nothing is preloaded")
    }

    fn forget(&mut self, _: &[&str]) {}

    fn work(&mut self, seat: Seat<'_>) -> i32 {
        match self.kind {
            Kind::Boot(status) => return status,
            Kind::Panic if seat.slot.view().age == 1 => {
                Self::say("panics");
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            _ => {}
        }
        seat.slot.set_state(scoreboard::State::Ready);
        // Before the master is told: what it does then is said later.
        Self::say("ready");
        seat.bell.ring();
        if self.kind == Kind::Stuck && seat.slot.view().age == 1 {
            seat.slot.mark(0).begin_request(time::monotonic_ns(), b"GET", b"/slow");
            seat.bell.ring_if_armed();
        }
        if self.kind == Kind::Waiting && seat.slot.view().age == 1 {
            Self::wait_for_the_interpreter(&seat);
        }
        Self::obey(seat.lifeline, seat.stop_flag)
    }
}

/// How often the threads of the master have gone to sleep.
fn master_wakes() -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", nix::unistd::getppid())).unwrap();
    let of_task = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        count.trim().parse::<u64>().unwrap()
    };
    tasks.map(|task| of_task(task.unwrap())).sum()
}

/// Returns in the process that runs the tests only.
fn be_the_server_if_asked() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut role = role.splitn(4, ' ');
    let mut part = || role.next().unwrap();
    let (kind, next) = (Kind::parse(part()), Kind::parse(part()));
    let workers = part().parse().unwrap();
    let directory = part();
    let mut config = Config::default();
    configure(&mut config, directory);
    config.workers = workers;
    if kind == Kind::Waiting {
        config.threads = 2;
    }
    log::install(&config, None).unwrap();
    let mut host = Workers { kind, next, config: config.clone() };
    process::exit_now(run(config, Surroundings::default(), &mut host));
}

fn configure(config: &mut Config, directory: &str) {
    config.bind = vec![format!("unix:{directory}/socket")];
    config.timeout = 1;
    config.graceful_timeout = 5;
    config.pidfile = Some(format!("{directory}/pid"));
    config.errorlog = Some(format!("{directory}/log"));
    config.loglevel = "debug".to_owned();
}

/// A running server and the news of its workers.
struct Server {
    process: Child,
    read: Vec<u8>,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(kind: &str, next: &str, workers: u32) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), kind, next, workers)
    }

    fn start_in(directory: tempfile::TempDir, kind: &str, next: &str, workers: u32) -> Self {
        // One test thread: the harness then runs the test on the main thread and has no other.
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CARRIER, "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{kind} {next} {workers} {}", directory.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process, read: Vec::new(), directory }
    }

    fn pid(&self) -> Pid {
        Pid::new(self.process.id().cast_signed()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        process::kill(self.pid(), signal).unwrap();
    }

    /// The next thing a worker tells; `None` when all processes are gone.
    fn next(&mut self) -> Option<News> {
        let news = self.process.stdout.as_mut().unwrap();
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = String::from_utf8(line).unwrap();
                // The rest is the test harness talking.
                if let Some(news) = line.trim().strip_prefix("news ") {
                    let (pid, what) = news.split_once(' ').unwrap();
                    return Some((pid.parse().unwrap(), what.to_owned()));
                }
            }
            let mut fds = [PollFd::new(news.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
            assert_eq!(ready, 1, "nothing happened for 10 s");
            let mut buffer = [0; 512];
            match news.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// The next `count` news, which must all be `what`; who told them.
    fn expect(&mut self, what: &str, count: usize) -> Vec<i32> {
        let one = |_| {
            let (pid, told) = self.next().unwrap();
            assert_eq!(told, what);
            pid
        };
        let mut pids: Vec<i32> = (0..count).map(one).collect();
        pids.sort_unstable();
        pids
    }

    /// Waits for the end of the master and of all workers: the master's exit status, or the signal
    /// that ended it, negated.
    fn end(&mut self) -> i32 {
        assert_eq!(self.next(), None);
        let status = self.process.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }

    /// What the master has logged so far above DEBUG, like `INFO Using worker: sync`.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("log")).unwrap();
        let mark = format!("] [{}] [", self.pid());
        let records = text.lines().filter_map(|line| line.split_once(&mark));
        let records = records.map(|(_, rest)| rest.replacen("] ", " ", 1));
        records.filter(|record| !record.starts_with("DEBUG")).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.directory.path().join(name).exists()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // For a test that failed; the workers notice by the lifeline.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn serves_replaces_reloads_and_stops_without_a_trace() {
    be_the_server_if_asked();
    let mut server = Server::start("good", "good", 2);
    let first = server.expect("ready", 2);
    let pidfile = server.directory.path().join("pid");
    assert_eq!(fs::read_to_string(&pidfile).unwrap(), format!("{}\n", server.pid()));
    assert!(server.has("socket"));

    process::kill(Pid::new(first[0]).unwrap(), Signal::KILL).unwrap();
    let third = server.expect("ready", 1)[0];
    server.signal(Signal::USR1);
    let mut old = vec![first[1], third];
    old.sort_unstable();
    assert_eq!(server.expect("usr1", 2), old);

    server.signal(Signal::HUP);
    let mut told = Vec::new();
    while told.len() < 4 {
        told.push(server.next().unwrap());
    }
    // Nobody goes before a new one is there.
    assert_eq!(told[0].1, "ready");
    let gone = told.iter().filter(|(_, what)| what == "term").map(|(pid, _)| *pid);
    assert_eq!(gone.collect::<BTreeSet<_>>(), old.into_iter().collect());

    server.signal(Signal::TTIN);
    server.expect("ready", 1);
    server.signal(Signal::TERM);
    server.expect("term stop", 3);
    assert_eq!(server.end(), 0);
    let expected = [
        format!("INFO Starting rgunicorn {VERSION}"),
        format!(
            "INFO Listening at: unix:{} ({})",
            server.directory.path().join("socket").display(),
            server.pid()
        ),
        "INFO Using worker: sync".to_owned(),
        format!(
            "ERROR Worker (pid:{}) was sent SIGKILL! Neither by this master nor by the kernel's OOM \
             killer.",
            first[0]
        ),
        "INFO Handling signal: usr1".to_owned(),
        "INFO Handling signal: hup".to_owned(),
        "INFO Hang up: Master".to_owned(),
        "INFO Handling signal: ttin".to_owned(),
        "INFO Handling signal: term".to_owned(),
        "INFO Shutting down: Master".to_owned(),
    ];
    assert_eq!(server.log(), expected);
    assert!(!server.has("pid") && !server.has("socket"));
}

#[test]
fn a_boot_failure_ends_the_server_with_its_status() {
    let mut server = Server::start("3", "good", 2);
    assert_eq!(server.end(), 3);
    assert_eq!(server.log().last().unwrap(), "ERROR Reason: Worker failed to boot.");
    assert!(!server.has("pid") && !server.has("socket"));
}

#[test]
fn a_reload_that_fails_keeps_the_old_workers() {
    let mut server = Server::start("good", "4", 2);
    let old = server.expect("ready", 2);
    server.signal(Signal::HUP);
    // What the new configuration had changed in the process is taken back.
    assert_eq!(server.expect("restored", 1), [server.pid().get()]);
    // Were the old ones gone, or new ones there, they would tell before these.
    server.signal(Signal::USR1);
    assert_eq!(server.expect("usr1", 2), old);
    server.signal(Signal::INT);
    assert_eq!(server.expect("quit stop", 2), old);
    assert_eq!(server.end(), 0);
}

#[test]
fn a_panic_in_a_worker_costs_that_worker_only() {
    let mut server = Server::start("panic", "good", 1);
    let broken = server.expect("panics", 1);
    assert_ne!(server.expect("ready", 1), broken);
    server.signal(Signal::TERM);
    server.expect("term stop", 1);
    assert_eq!(server.end(), 0);
}

#[test]
fn a_request_past_the_timeout_is_aborted_without_any_tick() {
    let mut server = Server::start("stuck", "good", 1);
    let stuck = server.expect("ready", 1);
    let mut told = [server.next().unwrap(), server.next().unwrap()];
    told.sort_by_key(|(pid, _)| i32::from(*pid != stuck[0]));
    assert_eq!(told[0], (stuck[0], "abrt".to_owned()));
    assert_eq!(told[1].1, "ready");
    server.signal(Signal::TERM);
    server.expect("term stop", 1);
    assert_eq!(server.end(), 0);
    let log = server.log();
    assert!(log.contains(&format!("CRITICAL WORKER TIMEOUT (pid:{})", stuck[0])), "{log:?}");
    let line = format!("ERROR Worker (pid:{}) has been handling GET /slow for 1.", stuck[0]);
    assert!(log.iter().any(|record| record.starts_with(&line)), "{log:?}");
}

#[test]
fn a_thread_is_aborted_for_its_wait_and_not_for_its_request() {
    let mut server = Server::start("waiting", "good", 1);
    let stuck = server.expect("ready", 1)[0];
    let (_, wakes) = server.next().unwrap();
    // Each wait is over before it matters: the master is not to be woken by each.
    let wakes: u64 = wakes.parse().unwrap();
    assert!((1..60).contains(&wakes), "300 waits woke the master {wakes} times");
    let mut told = [server.next().unwrap(), server.next().unwrap()];
    told.sort_by_key(|(pid, _)| i32::from(*pid != stuck));
    assert_eq!(told[0], (stuck, "abrt".to_owned()));
    assert_eq!(told[1].1, "ready");
    server.signal(Signal::TERM);
    server.expect("term stop", 1);
    assert_eq!(server.end(), 0);
    let log = server.log();
    assert!(log.contains(&"INFO Using worker: gthread".to_owned()), "{log:?}");
    let line = format!(
        "ERROR A thread of worker (pid:{stuck}) has been waiting for the interpreter lock, which \
         another thread holds, for 1."
    );
    let timeouts: Vec<&String> =
        log.iter().filter(|record| record.contains("(timeout 1 s)")).collect();
    let [record] = timeouts[..] else { panic!("{log:?}") };
    assert!(record.starts_with(&line), "{record}");
    assert!(record.ends_with("The oldest request in progress is GET /slow"), "{record}");
}

#[test]
fn workers_go_when_the_master_is_killed() {
    let mut server = Server::start("good", "good", 3);
    let workers = server.expect("ready", 3);
    server.signal(Signal::KILL);
    assert_eq!(server.expect("orphan", 3), workers);
    assert_eq!(server.end(), -libc::SIGKILL);
    assert!(Path::new(&server.directory.path().join("pid")).exists());
}

#[test]
fn a_pid_file_of_a_living_server_refuses_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pid");
    fs::write(&path, "1\n").unwrap();
    let mut server = Server::start_in(directory, "good", "good", 1);
    assert_eq!(server.end(), 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
}
