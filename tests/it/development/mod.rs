//! What helps while an application is being written.

mod reload;
mod spew;
