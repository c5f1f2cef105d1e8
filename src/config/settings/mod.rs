//! The settings, a file per section, and what is made of them: `Config` and `TABLE`.

mod asgi;
mod clients_and_buffers;
mod config_file;
mod control;
mod debugging;
mod dirty;
pub mod gunicorn;
mod hooks;
mod http2;
mod log_forms;
mod logging;
mod other_protocols;
mod process_forms;
mod process_naming;
mod request_heads;
mod security;
mod server_mechanics;
mod server_socket;
mod tls;
mod worker_processes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::callables::{AfterRequest, Anything, Callback, Class, Dictionary};
use super::choice::OneOf;
use super::kinds::{
    BigCount, Code, CommaList, Count, Kind, Mode, Name, Networks, Pairs, Seconds, Strings, Switch,
    Text, read,
};
use super::number::{self, Base};
use super::object::{ClassRef, Hook};
use super::origin::Origin;
use super::setting::{FromEnv, Reload, Scope, Section, Setting, settings};
use super::size::Size;
use super::time::Time;
use super::value::Value;
use asgi::asgi;
pub use asgi::{AsgiLifespan, AsgiLoop, HttpParser};
use clients_and_buffers::{Buffering, clients_and_buffers};
use config_file::{Venv, config_file};
use control::control;
pub use debugging::ReloadEngine;
use debugging::{Files, ReloadEngines, debugging};
use dirty::dirty;
use hooks::hooks;
pub use http2::Cleartext;
use http2::{FrameSize, Protocols, Streams, WindowSize, http2};
pub use log_forms::StatsdAddress;
use log_forms::{Statsd, log_forms};
pub use logging::ErrorLogFormat;
use logging::logging;
use other_protocols::other_protocols;
use process_forms::{Group, Optional, SocketMode, User, process_forms};
use process_naming::process_naming;
use request_heads::request_heads;
pub use request_heads::{ProxyMode, ProxyModes};
use security::security;
use server_mechanics::server_mechanics;
pub use server_mechanics::{Directory, HeaderMap, Sendfile};
use server_socket::server_socket;
use tls::tls;
pub use worker_processes::MOST_THREADS;
use worker_processes::{Threads, WorkerClass, Workers, worker_processes};

settings! { [
    config_file server_socket worker_processes asgi security debugging server_mechanics
    process_forms request_heads other_protocols logging log_forms process_naming hooks tls http2
    dirty control clients_and_buffers
] }

/// Whether gunicorn has a setting of this name; the others are our own.
pub fn is_gunicorns(name: &str) -> bool {
    gunicorn::NAMES.contains(&name)
}

/// The place of a setting among gunicorn's; ours have the one behind them.
pub fn rank(name: &str) -> usize {
    gunicorn::NAMES.iter().position(|other| *other == name).unwrap_or(gunicorn::NAMES.len())
}

/// The row of a setting.
pub fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.name == name)
}
