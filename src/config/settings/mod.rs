//! The settings, a file per section, and what is made of them: `Config` and `TABLE`.

mod clients_and_buffers;
mod config_file;
mod debugging;
mod logging;
pub mod missing;
mod process_naming;
mod request_heads;
mod security;
mod server_mechanics;
mod server_socket;
mod worker_processes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::kinds::{
    BigCount, CommaList, Count, Kind, Name, Networks, Pairs, Seconds, Strings, Switch, Text,
};
use super::number::{self, Base};
use super::origin::Origin;
use super::setting::{FromEnv, Reload, Scope, Section, Setting, settings};
use super::size::Size;
use super::time::Time;
use super::value::Value;
use clients_and_buffers::{Buffering, clients_and_buffers};
use config_file::{Venv, config_file};
use debugging::debugging;
use logging::logging;
use process_naming::process_naming;
use request_heads::request_heads;
pub use request_heads::{ProxyMode, ProxyModes};
use security::security;
use server_mechanics::server_mechanics;
pub use server_mechanics::{Directory, HeaderMap, HeaderPolicy, Sendfile};
use server_socket::server_socket;
pub use worker_processes::MOST_THREADS;
use worker_processes::{Class, Threads, Workers, worker_processes};

settings! { [
    config_file server_socket worker_processes security debugging server_mechanics request_heads
    logging process_naming clients_and_buffers
] }

/// The row of a setting.
pub fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.name == name)
}
