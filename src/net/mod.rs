//! Addresses, listening sockets, connections.

pub mod address;
#[cfg_attr(not(test), expect(dead_code, reason = "no worker uses it yet"))]
pub mod handoff;
pub mod inherit;
pub mod listener;
pub mod stream;
