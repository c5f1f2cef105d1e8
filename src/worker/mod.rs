//! A worker process, from fork to exit.

mod access;
mod baton;
mod boot;
mod control;
mod end;
mod options;
mod overdue;
mod parking;
mod reloader;
mod requests;
mod serve;
#[cfg(test)]
mod simulation;
mod slot;
mod stand_by;

pub use boot::run;
