//! The master process: opens the sockets, forks the workers and supervises them.
//!
//! [`state`] decides, [`supervise`] does. What neither needs to know sits in a file of its own.

mod adoption;
mod backoff;
mod check;
mod child;
mod commons;
mod forms;
mod hooked;
mod lanes;
mod metrics;
mod obituary;
mod pidfile;
mod record;
mod reload;
mod renewal;
mod rescue;
mod run;
mod seats;
mod service;
mod sight;
mod sockets;
mod spawn;
mod start;
mod state;
mod supervise;
mod suspects;
mod upgrade;
mod watch;
mod workers;

pub use check::Report;
pub use child::MASTER_SIGNALS as SIGNALS;
pub use forms::check_identity;
pub use run::{Unable, resume, run};
pub use start::Surroundings;
pub use upgrade::show_title;
