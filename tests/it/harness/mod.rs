//! What the tests are made of: the server under test with its output captured, a raw HTTP client,
//! a virtual environment with the frameworks, and bounded waiting.

pub mod background;
pub mod cases;
pub mod cgroup;
pub mod client;
pub mod load;
pub mod manager;
pub mod output;
pub mod process;
pub mod server;
pub mod upload;
pub mod venv;
pub mod wait;

pub use cases::run_cases;
pub use client::{Client, Response};
pub use server::{Builder, Outcome, Server, ServerKind};
pub use wait::{BOUND, until};
