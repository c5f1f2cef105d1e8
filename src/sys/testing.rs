//! Helpers of the unit tests: a body of code in a forked child, or in a process of its own.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Runs `body` in a forked child, waits for it, and panics with what it returned as an error.
///
/// The child is a copy of one thread of a test binary that has several: `body` must not take locks
/// that another thread may have held (no `println!`, no changes of the environment), and panics are reported like errors.
pub fn in_child(body: impl FnOnce() -> Result<(), String>) {
    let (mut reader, mut writer) = std::io::pipe().expect("pipe");
    // SAFETY: the child only runs `body` (see above) and `_exit`; glibc keeps malloc usable in the
    // child of a process with threads.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let outcome = catch_unwind(AssertUnwindSafe(body))
                .unwrap_or_else(|_| Err("the child panicked".to_owned()));
            let status = match outcome {
                Ok(()) => 0,
                Err(message) => {
                    let _ = writer.write_all(message.as_bytes());
                    1
                }
            };
            // SAFETY: `_exit` runs no handlers of the test harness that was copied.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut message = String::new();
            reader.read_to_string(&mut message).expect("read from the child");
            let status = waitpid(child, None).expect("wait for the child");
            assert_eq!(status, WaitStatus::Exited(child, 0), "{message}");
        }
    }
}

/// Runs `body` in a process of its own, with one thread, by starting the test binary again for the
/// test `name` (its full path), which must be the caller.
pub fn alone(name: &str, body: impl FnOnce()) {
    const MARK: &str = "RGUNICORN_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        // libtest runs even a single test beside its main thread; a fork leaves that one behind.
        return in_child(|| {
            body();
            Ok(())
        });
    }
    let program = std::env::current_exe().expect("path of the test binary");
    let output = Command::new(program)
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("start the test binary");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{name} alone:\n{text}");
}
