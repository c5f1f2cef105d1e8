//! The embedded interpreter and everything that knows Python.

pub mod conf;
