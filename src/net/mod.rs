//! Addresses, listening sockets, connections.

pub mod address;
pub mod handoff;
pub mod inherit;
pub mod listener;
pub mod stream;
