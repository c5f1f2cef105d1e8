//! Thin typed wrappers of system calls: the only place besides `python/ffi.rs` where `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod process;
pub mod signal;
