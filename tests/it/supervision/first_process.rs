//! The master as the first process of a container, which gets all processes that lose their parent.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process, until, venv};

on_both_servers!(strangers_are_reaped_and_left_alone);

on_rgunicorn!(a_start_that_takes_long_can_be_stopped);

/// How the master gets to be the one to whom orphans fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    /// A name space of processes of its own, with what else that takes.
    Space(&'static [&'static str]),
    /// Nothing but the orphans (`PR_SET_CHILD_SUBREAPER`), which every process may ask for.
    Orphans,
}

impl Container {
    /// A name space, where the system lets this process make one.
    fn space() -> Option<Self> {
        const FORMS: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
        let works = |form: &&[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(form.iter().chain(&["--pid", "--fork", "--mount-proc", "true"]));
            unshare.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        FORMS.into_iter().find(works).map(Self::Space)
    }

    fn put(self, builder: Builder) -> Builder {
        match self {
            Self::Space(form) => {
                let form = form.join(" ");
                let pid = "--pid --fork --kill-child --mount-proc";
                builder.first(&format!("set -- unshare {form} {pid} \"$@\""))
            }
            Self::Orphans => {
                let python = venv::python();
                let script = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); \
                              os.execvp(sys.argv[1], sys.argv[1:])";
                builder.first(&format!("set -- {python} -c '{script}' \"$@\""))
            }
        }
    }

    /// The process id of the master, from outside.
    fn master(self, server: &Server) -> i32 {
        match self {
            Self::Space(_) => until(BOUND, "the first process", || {
                process::children(server.pid()).first().copied()
            }),
            Self::Orphans => server.pid(),
        }
    }
}

fn strangers_are_reaped_and_left_alone(kind: ServerKind) {
    for container in Container::space().into_iter().chain([Container::Orphans]) {
        let builder = Builder::new(kind).binding("127.0.0.1:0").args(["--log-level", "debug"]);
        let mut server = container.put(builder).start_ready(2);
        let master = container.master(&server);
        let line = server.log.wait_for("Listening at: http://");
        let (_, at) = line.split_once("http://").expect("an address");
        let (at, pid) = at.split_once(" (").expect("a process id");
        let addr: SocketAddr = at.parse().expect("an address");
        assert_eq!(pid == "1)", container != Container::Orphans, "{container:?}: {line}");
        let workers = process::children(master);
        assert_eq!(workers.len(), 2);

        let leave_orphans = |count: usize, name: &str| -> File {
            let pipe = server.dir().join(name);
            mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe can be made");
            let before = process::children(master).len();
            for _ in 0..count {
                let target = format!("/orphan?{}", pipe.display());
                assert_eq!(Client::connect(addr).get(&target).text(), "left");
            }
            until(BOUND, "the orphans to fall to the master", || {
                (process::children(master).len() == before + count).then_some(())
            });
            // Waits until one of them reads.
            fs::OpenOptions::new().write(true).open(&pipe).expect("the pipe is there")
        };
        // They end together, and none stays behind.
        drop(leave_orphans(10, "short"));
        server.log.wait_for_count("[DEBUG] Reaped unknown child process (pid:", 10);
        server.log.wait_for_count(", status:1792)", 10);
        assert_eq!(process::children(master), workers);
        assert_eq!(process::zombies(master), 0);

        // Signals are for workers, not for strangers, and no stranger counts as a worker.
        let _held = leave_orphans(1, "long");
        let stranger = *process::children(master)
            .iter()
            .find(|pid| !workers.contains(pid))
            .expect("it was there a moment ago");
        process::signal(master, Signal::SIGUSR1);
        server.log.wait_for("Handling signal: usr1");
        process::signal(master, Signal::SIGTTIN);
        server.log.wait_for_count("note: loaded in ", 3);
        process::signal(master, Signal::SIGHUP);
        server.log.wait_for_count("note: loaded in ", 5);
        until(BOUND, "the new workers", || {
            let now = process::children(master);
            (now.len() == 3 && workers.iter().all(|pid| !now.contains(pid))).then_some(())
        });
        assert!(process::is_alive(stranger), "{container:?}: a signal was passed on");
        until(BOUND, "a master that sleeps", || process::is_asleep(master).then_some(()));

        // The end does not wait for it.
        process::signal(master, Signal::SIGTERM);
        assert_eq!(server.wait_exit(BOUND).code(), Some(0), "{container:?}");
        assert!(server.log.text().contains("Shutting down: Master"));
        // Nor does it do anything about it; in a name space the kernel does.
        assert_eq!(process::is_alive(stranger), container == Container::Orphans, "{container:?}");
    }
}

/// The kernel keeps signals without a handler from the first process.
fn a_start_that_takes_long_can_be_stopped(kind: ServerKind) {
    const APP: &str = "import os, time\nos.write(2, b'note: hangs\\n')\ntime.sleep(1000)\n";
    let container = Container::space().unwrap_or(Container::Orphans);
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGINT] {
        let builder = Builder::new(kind).in_own_dir().app("slow:app").file("slow.py", APP);
        let builder = builder.binding("127.0.0.1:0").args(["--preload"]);
        let mut server = container.put(builder).spawn();
        server.log.wait_for("note: hangs");
        process::signal(container.master(&server), signal);
        assert_ne!(server.wait_exit(BOUND).code(), Some(0), "{signal}");
        server.assert_nothing_left();
    }
}
