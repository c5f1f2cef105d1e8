//! The server under test: started with its listening socket passed in, output captured, ended and
//! cleaned up with everything it forked.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::client::{Client, Response};
use super::output::Output;
use super::wait::{BOUND, poll, until};
use super::{process, venv};

/// Where the small applications of the tests are.
pub const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps");

/// Variables a server reads that the caller's environment must not decide.
const SCRUBBED: [&str; 19] = [
    "GUNICORN_CMD_ARGS",
    "GUNICORN_PID",
    "GUNICORN_FD",
    "PORT",
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "SENDFILE",
    "SCRIPT_NAME",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "XDG_RUNTIME_DIR",
    "TZ",
];

/// Which of the two servers a case runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    Rgunicorn,
    Gunicorn,
}

impl ServerKind {
    /// The name the server gives itself in headers, log lines and environ.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgunicorn => "rgunicorn",
            Self::Gunicorn => "gunicorn",
        }
    }

    /// The version the server gives itself.
    pub fn version(self) -> &'static str {
        match self {
            Self::Rgunicorn => env!("CARGO_PKG_VERSION"),
            Self::Gunicorn => "27.0.1",
        }
    }

    pub fn is_rgunicorn(self) -> bool {
        self == Self::Rgunicorn
    }

    /// Runs a topic unless `SERVER_UNDER_TEST` names the other server.
    pub fn if_selected(self, topic: impl FnOnce(Self)) {
        match std::env::var("SERVER_UNDER_TEST").as_deref() {
            Err(_) => topic(self),
            Ok(name @ ("rgunicorn" | "gunicorn")) => {
                if name == self.name() {
                    topic(self);
                }
            }
            Ok(other) => panic!("SERVER_UNDER_TEST is `{other}`; use `rgunicorn` or `gunicorn`"),
        }
    }

    /// Program and arguments that come before those of the test.
    fn program(self) -> Vec<OsString> {
        match self {
            Self::Rgunicorn => rgunicorn(),
            // The control socket of gunicorn has one path for all servers of a user; two tests at
            // the same time would fight for it.
            Self::Gunicorn => vec![venv::program("gunicorn").into(), "--no-control-socket".into()],
        }
    }
}

/// The command under test: the binary just built, unless `RGUNICORN_UNDER_TEST` names another one (words
/// separated by blanks), as the console script of an installed wheel.
pub fn rgunicorn() -> Vec<OsString> {
    match std::env::var("RGUNICORN_UNDER_TEST") {
        Err(_) => vec![env!("CARGO_BIN_EXE_rgunicorn").into()],
        Ok(words) => words.split_whitespace().map(OsString::from).collect(),
    }
}

/// Whether that is a Python program, a script or `python -m rgunicorn`: the server of the wheel.
pub fn is_wheel() -> bool {
    let words = rgunicorn();
    let script = || fs::read(&words[0]).is_ok_and(|text| text.starts_with(b"#!"));
    words.len() > 1 || script()
}

/// What to start and how.
pub struct Builder {
    kind: ServerKind,
    app: Option<String>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    pass_socket: bool,
    chdir: Option<PathBuf>,
    /// What the shell does first.
    prelude: String,
    /// Program and first arguments.
    program: Vec<OsString>,
    dir: TempDir,
}

impl Builder {
    /// A server in an empty directory of its own, with a listening socket passed in and the
    /// applications of the tests importable.
    pub fn new(kind: ServerKind) -> Self {
        Self {
            kind,
            app: None,
            args: Vec::new(),
            env: vec![
                ("VIRTUAL_ENV".into(), venv::path().into()),
                ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
            ],
            pass_socket: true,
            chdir: Some(APPS.into()),
            prelude: String::new(),
            program: kind.program(),
            dir: tempfile::tempdir().expect("a temporary directory can be made"),
        }
    }

    pub fn app(mut self, app: &str) -> Self {
        self.app = Some(app.to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Arguments only gunicorn gets, where the same behaviour has another name there.
    pub fn gunicorn_args(self, args: &[&str]) -> Self {
        if self.kind.is_rgunicorn() { self } else { self.args(args) }
    }

    /// A server that keeps connections alive: gunicorn does not with its sync workers.
    pub fn keeping_alive(self) -> Self {
        self.gunicorn_args(&["-k", "gthread", "--threads", "1"])
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Lets the server bind by itself: no socket is passed in.
    pub fn binding(mut self, address: &str) -> Self {
        self.pass_socket = false;
        self.args(["-b", address])
    }

    /// No socket is passed in and none is asked for by an argument.
    pub fn without_bind(mut self) -> Self {
        self.pass_socket = false;
        self
    }

    /// Imports the application from the server's own directory, see [`Builder::file`].
    pub fn in_own_dir(mut self) -> Self {
        self.chdir = None;
        self
    }

    /// Imports the application from another directory.
    pub fn chdir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.chdir = Some(dir.into());
        self
    }

    /// Passes sockets that listen at these addresses (`tcp`, or the path of a unix socket), from number 3
    /// on, instead of the usual one. `variables` are those that announce them, with `PID` for the
    /// process id of the server.
    pub fn passing(mut self, addresses: &[&str], variables: &[(&str, &str)]) -> Self {
        const PASS: &str = "
import os, socket, sys
addresses, variables, *command = sys.argv[1:]
for number, address in enumerate(addresses.split(), 3):
    if address == 'tcp':
        one = socket.create_server(('127.0.0.1', 0))
    else:
        one = socket.socket(socket.AF_UNIX)
        one.bind(address)
        one.listen()
    if one.fileno() == number:
        os.set_inheritable(number, True)
        one.detach()
    else:
        os.dup2(one.fileno(), number)
for variable in variables.split():
    name, value = variable.split('=')
    os.environ[name] = value.replace('PID', str(os.getpid()))
os.execvp(command[0], command)
";
        let variables: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.pass_socket = false;
        let (addresses, variables) = (addresses.join(" "), variables.join(" "));
        let python = venv::python();
        self.first(&format!("set -- {python} -c \"{PASS}\" '{addresses}' '{variables}' \"$@\""))
    }

    /// Starts the server under a resource limit; arguments of the shell's `ulimit`.
    pub fn ulimit(self, arguments: &str) -> Self {
        self.first(&format!("ulimit {arguments}"))
    }

    /// Has the shell that starts the server run a command first, which must succeed.
    pub fn first(mut self, command: &str) -> Self {
        self.prelude = format!("{}{command} || exit 99; ", self.prelude);
        self
    }

    /// Starts the server without the right to become another user, which only root has anyway.
    pub fn bound_to_its_user(self) -> Self {
        self.first("set -- setpriv --bounding-set=-setuid,-setgid \"$@\"")
    }

    /// Lets every user read the files of [`Builder::file`]: for servers that act as somebody else.
    pub fn open_to_all(self) -> Self {
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o777))
            .expect("it is ours");
        self
    }

    /// Starts the program under another name or path, relative to the server's own directory.
    pub fn called(mut self, name: &str) -> Self {
        self.program[0] = name.into();
        self
    }

    /// Starts another program, with these arguments in front.
    pub fn program(mut self, words: Vec<OsString>) -> Self {
        self.program = words;
        self
    }

    /// Puts a file into the directory the server is started in.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(name), text).expect("the temporary directory is writable");
        self
    }

    /// The directory the server is started in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the server and waits until it says where it listens.
    #[track_caller]
    pub fn start(self) -> Server {
        let server = self.spawn();
        server.log.wait_for("Listening at: ");
        server
    }

    /// Starts the server with the application `supervised:app`, unless another one is named, and
    /// waits until that many workers have loaded it, after which no signal is lost on them.
    #[track_caller]
    pub fn start_ready(mut self, workers: usize) -> Server {
        self.app.get_or_insert_with(|| "supervised:app".into());
        let server = self.args(["-w", &workers.to_string()]).start();
        server.log.wait_for_count("note: loaded in ", workers);
        server
    }

    /// Starts a server that logs into a file, and waits until the application has said something so
    /// often.
    #[track_caller]
    pub fn start_quietly(self, text: &str, count: usize) -> Server {
        let server = self.spawn();
        server.log.wait_for_count(text, count);
        server
    }

    /// Runs a command that ends by itself.
    #[track_caller]
    pub fn run(self) -> Outcome {
        let mut server = self.spawn();
        let status = server.wait_exit(BOUND);
        server.assert_nothing_left();
        Outcome {
            status: status.code(),
            stdout: server.out.wait_end(BOUND),
            stderr: server.log.wait_end(BOUND),
        }
    }

    /// Starts the server without waiting for anything.
    pub fn spawn(self) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        let addr = listener.local_addr().expect("a bound socket has an address");
        // Descriptors are passed the way systemd does: number 3, announced by variables that hold
        // the receiver's own process id. The shell turns its stdin into number 3, which needs no
        // descriptor of this process to be inheritable.
        let script = if self.pass_socket {
            "export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&0 </dev/null; exec \"$@\""
        } else {
            "exec \"$@\""
        };
        let stdin = if self.pass_socket { OwnedFd::from(listener).into() } else { Stdio::null() };
        let mut command = Command::new("/bin/sh");
        for name in SCRUBBED {
            command.env_remove(name);
        }
        let script = format!("{}{script}", self.prelude);
        command.args(["-c", &script, "sh"]).args(&self.program).args(&self.args);
        if let Some(dir) = &self.chdir {
            command.arg("--chdir").arg(dir);
        }
        command.args(&self.app).envs(self.env.iter().cloned());
        command.current_dir(self.dir.path()).stdin(stdin);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("/bin/sh can be started");
        let log = Output::capture(child.stderr.take().expect("stderr is piped"));
        let out = Output::capture(child.stdout.take().expect("stdout is piped"));
        Server { kind: self.kind, addr, log, out, child, status: None, dir: self.dir }
    }
}

/// What a command that ended by itself left behind.
pub struct Outcome {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running server. Dropping it ends it and everything it forked.
pub struct Server {
    pub kind: ServerKind,
    /// Where the passed socket listens; meaningless if none was passed.
    pub addr: SocketAddr,
    /// Its stderr, which is the error log by default.
    pub log: Output,
    /// Its stdout.
    pub out: Output,
    child: Child,
    status: Option<ExitStatus>,
    dir: TempDir,
}

impl Server {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Process ids of the living workers.
    pub fn workers(&self) -> Vec<i32> {
        process::children(self.pid())
    }

    /// Waits until exactly `count` workers live.
    #[track_caller]
    pub fn wait_workers(&self, count: usize) -> Vec<i32> {
        until(BOUND, &format!("{count} workers"), || {
            let found = self.workers();
            (found.len() == count).then_some(found)
        })
    }

    /// Waits until a master says, after `mark` in the log, where it listens; its process id.
    #[track_caller]
    pub fn new_master(&self, mark: usize) -> i32 {
        let line = self.log.wait_for_since(mark, "Listening at: ");
        let (_, pid) = line.rsplit_once('(').expect("a process id");
        pid.trim_end_matches(')').parse().expect("a process id")
    }

    /// A new connection to the passed socket.
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// A connection whose client takes nothing that it does not read, as far as the system allows.
    pub fn connect_narrow(&self) -> Client {
        Client::connect_narrow(self.addr)
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// Sends bytes on a connection of its own and returns all that comes back until the server
    /// closes.
    #[track_caller]
    pub fn exchange(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = self.connect();
        client.send(bytes);
        client.read_to_end()
    }

    /// Waits for the end of the master.
    #[track_caller]
    pub fn wait_exit(&mut self, bound: Duration) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let log = self.log.clone();
        let deadline = std::time::Instant::now() + bound;
        let status = until(bound + BOUND, "the server to end", || {
            assert!(
                std::time::Instant::now() < deadline,
                "the server still runs after {bound:?}; its log was:\n{}",
                log.text()
            );
            self.child.try_wait().expect("the server is a child of this process")
        });
        self.status = Some(status);
        status
    }

    /// Sends a signal and waits for the end; the exit status, `128 + signal` if one killed it.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> i32 {
        self.signal(signal);
        let status = self.wait_exit(BOUND);
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Fails if any process of the server is still there a moment after its end.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        until(BOUND, "all processes of the server to end", || {
            process::members(self.pid()).is_empty().then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = self.pid();
        if matches!(self.child.try_wait(), Ok(None)) {
            process::signal(group, Signal::SIGTERM);
            // A server that a test left with a stuck request must not hold up the others.
            let ended = poll(Duration::from_secs(3), || {
                (!matches!(self.child.try_wait(), Ok(None))).then_some(())
            });
            if ended.is_none() {
                eprintln!("the server did not end in time; its log was:\n{}", self.log.text());
            }
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}---", self.kind.name(), self.log.text());
        }
        process::signal_group(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
