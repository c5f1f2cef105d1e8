//! The command: wires configuration, interpreter, master and worker.

/// Runs the program and returns its exit status.
#[must_use]
pub fn main() -> i32 {
    0
}
