//! Never down, nothing lost: crashes, stuck requests, reloads and stops, with and without load.

mod causes;
mod chaos;
mod crashes;
mod everything;
mod first_process;
mod forks;
mod mechanics;
mod pid_file;
mod preload;
mod recycling;
mod reloads;
mod timeouts;
mod under_load;
mod upgrade;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::harness::server::APPS;
use crate::harness::{Builder, Server, ServerKind};

/// What `served.py` holds where nothing is wrong with it.
const APP: &str = "from supervised import app\n";

/// A server whose application, `served.py`, and configuration can be changed, and the file in which the
/// application notes each request that it begins.
fn changeable(kind: ServerKind, configuration: &str) -> (Builder, PathBuf) {
    let builder = Builder::new(kind).in_own_dir();
    let begun = builder.dir().join("begun");
    fs::write(&begun, "").expect("the directory is writable");
    let builder = builder.env("BEGUN", &begun).env("PYTHONPATH", APPS).app("served:app");
    (builder.file("served.py", APP).file("gunicorn.conf.py", configuration), begun)
}

/// Where a server listens that was not passed its socket.
#[track_caller]
fn address(server: &Server) -> SocketAddr {
    let line = server.log.wait_for("Listening at: http://");
    let (_, at) = line.split_once("http://").expect("an address");
    at.split(' ').next().and_then(|at| at.parse().ok()).expect("an address")
}
