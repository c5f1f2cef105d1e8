//! A proxy or a manager in the foreground, with its output captured, and what it needs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::output::Output;
use crate::harness::wait::poll;
use crate::harness::{BOUND, process, until};

/// A running program. Dropping it ends it.
pub struct Program {
    child: Child,
    /// Its stdout.
    pub out: Output,
    /// Its stderr.
    pub log: Output,
}

impl Program {
    /// Starts it and waits until it takes connections at `addr`.
    #[track_caller]
    pub fn start(command: &mut Command, addr: SocketAddr) -> Self {
        Self::start_within(BOUND, command, addr)
    }

    /// The same with one that may take longer.
    #[track_caller]
    pub fn start_within(bound: Duration, command: &mut Command, addr: SocketAddr) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {name}: {error}; `tests/system/run` installs it")
        });
        let log = Output::capture(child.stderr.take().expect("stderr is piped"));
        let out = Output::capture(child.stdout.take().expect("stdout is piped"));
        let mut program = Self { child, out, log };
        until(bound, &format!("{name} to listen at {addr}"), || {
            if let Ok(Some(status)) = program.child.try_wait() {
                panic!("{name} ended with {status}:\n{}", program.log.text());
            }
            TcpStream::connect(addr).ok()
        });
        program
    }
}

impl Program {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends a signal to it and all that it has started, as terminals and service managers do, and waits
    /// for the end of all.
    #[track_caller]
    pub fn stop_all(&mut self, signal: Signal) {
        let group = self.pid();
        process::signal_group(group, signal);
        until(BOUND, "the program to end", || self.child.try_wait().expect("it is a child"));
        until(BOUND, "what it has started to end", || {
            process::members(group).is_empty().then_some(())
        });
    }

    /// Sends TERM and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) {
        process::signal(self.pid(), Signal::SIGTERM);
        until(BOUND, "the program to end", || self.child.try_wait().expect("it is a child"));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = self.pid();
        if matches!(self.child.try_wait(), Ok(None)) {
            process::signal(group, Signal::SIGTERM);
            poll(Duration::from_secs(3), || {
                (!matches!(self.child.try_wait(), Ok(None))).then_some(())
            });
        }
        if std::thread::panicking() {
            eprintln!("--- output:\n{}{}---", self.out.text(), self.log.text());
        }
        process::signal_group(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// An address of this machine at which nobody listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    listener.local_addr().expect("a bound socket has an address")
}

/// Makes a certificate for example.com in a directory: `cert.pem`, `key.pem`, and both in `both.pem`.
#[track_caller]
pub fn make_certificate(dir: &Path) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-subj", "/CN=example.com", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot start openssl: {error}; `tests/system/run` installs it")
        });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name| fs::read_to_string(dir.join(name)).expect("openssl has written it");
    let both = read("cert.pem") + &read("key.pem");
    fs::write(dir.join("both.pem"), both).expect("the temporary directory is writable");
}
