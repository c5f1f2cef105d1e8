//! Tests with the programs that sites are deployed with, and with the very files of `examples/`.
//!
//! They need packages of Debian and the rights of root; `tests/system/run` installs those packages and runs them.
//! `cargo test` leaves them out.

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
mod example;
mod haproxy;
mod nginx;
mod proxy;
mod systemd;
