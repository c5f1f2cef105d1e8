//! A worker process, from fork to exit.

mod boot;
mod options;
mod requests;
mod serve;

pub use boot::run;
