//! Thin typed wrappers of system calls: the only place besides `python/ffi.rs` where `unsafe` is
//! allowed.
#![allow(unsafe_code)]

pub mod account;
pub mod cgroup;
pub mod cpus;
pub mod datagram;
pub mod detach;
pub mod env;
pub mod epoll;
pub mod exec;
pub mod fd;
pub mod heap;
pub mod identity;
pub mod libpython;
pub mod listen;
pub mod notify;
pub mod oom;
pub mod private;
pub mod process;
pub mod proctitle;
pub mod random;
pub mod resolve;
pub mod ring;
pub mod scm;
pub mod shm;
pub mod signal;
pub mod socket;
#[cfg(test)]
pub mod testing;
pub mod time;
pub mod untimely;
