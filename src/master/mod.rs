//! The master process: supervision of the workers.

mod backoff;
mod obituary;
mod state;
mod workers;
