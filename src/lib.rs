//! rgunicorn: a pre-fork WSGI server that takes gunicorn's place.
//!
//! The layers and the rule about imports between them are in `docs/design.md`; `tests/it/layers.rs`
//! enforces them.

mod app;
pub mod cli;
mod config;
mod error;
pub mod extension;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod log;
mod master;
mod net;
mod python;
mod reactor;
mod scoreboard;
mod sys;
mod worker;
