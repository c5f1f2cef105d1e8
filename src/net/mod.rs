//! Addresses, listening sockets, connections.
