//! Addresses, listening sockets, connections.

pub mod address;
pub mod inherit;
pub mod listener;
pub mod stream;
