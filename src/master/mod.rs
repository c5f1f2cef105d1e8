//! The master process: opens the sockets, forks the workers and supervises them.
//!
//! [`state`] decides, [`run`] does. What neither needs to know sits in a file of its own.

mod adoption;
mod backoff;
mod child;
mod forms;
mod hooked;
mod lanes;
mod metrics;
mod obituary;
mod pidfile;
mod reload;
mod run;
mod seats;
mod service;
mod sight;
mod sockets;
mod start;
mod state;
mod suspects;
mod upgrade;
mod workers;

pub use run::run;
pub use start::Surroundings;
