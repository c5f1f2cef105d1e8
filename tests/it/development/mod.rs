//! What helps while an application is being written.

mod coverage;
mod reload;
mod spew;
