//! The forms in which a server is started, and what it makes of the place it finds itself in.

mod activation;
mod auto;
mod daemon;
mod environments;
mod identity;
mod reuse_port;
mod service;
mod socket_files;
