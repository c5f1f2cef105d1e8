//! The server as a wheel: installed in an environment of its own and run by the Python there. All other
//! tests can be run against it too, with `RGUNICORN_UNDER_TEST`.

mod in_gunicorns_name;
mod install;
mod programs;
mod run;

use std::path::Path;

use crate::harness::{Builder, ServerKind};

/// A program of an environment, and its first arguments; in a directory of its own.
fn builder(environment: &Path, words: &[&str]) -> Builder {
    let mut program = vec![environment.join("bin").join(words[0]).into_os_string()];
    program.extend(words[1..].iter().map(Into::into));
    Builder::new(ServerKind::Rgunicorn).program(program).in_own_dir()
}
