//! Thin typed wrappers of system calls: the only place besides `python/ffi.rs` where `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod env;
pub mod fd;
pub mod listen;
pub mod proctitle;
pub mod shm;
#[cfg(test)]
pub mod testing;
pub mod time;
