//! Tests with the programs that sites are deployed with, and with the very files of `examples/`; and with a tool
//! that starts its server by itself.
//!
//! They need packages of Debian and the rights of root; `tests/system/run` installs those packages and runs them.
//! They are ignored otherwise, so that `cargo test` needs neither.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the harness serves the integration tests too"
)]

#[path = "../it/harness/mod.rs"]
mod harness;

mod apache;
mod behind;
mod booted;
mod container;
mod debian;
mod docker;
mod dockerfile;
mod example;
mod haproxy;
mod heroku;
#[path = "../it/wheel/install.rs"]
mod install;
mod kubernetes;
mod libpython;
mod mlflow;
mod nginx;
mod program;
mod root;
mod service;
mod shells;
mod supervisord;
mod systemd;
mod tools;
