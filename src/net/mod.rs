//! Addresses, listening sockets, connections.

pub mod address;
#[expect(dead_code, reason = "workers begin to use it with the next change")]
pub mod handoff;
pub mod inherit;
pub mod listener;
pub mod stream;
