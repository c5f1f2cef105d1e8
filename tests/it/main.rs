//! The integration tests: the whole server from outside, over sockets and signals.
//!
//! Cases that state facts about gunicorn, HTTP or WSGI run against both servers, see
//! `harness::cases::on_both_servers`; the others are promises of rgunicorn alone.

mod bad_input;
mod compat;
mod conformance;
mod development;
mod differential;
mod dispatch;
mod django;
mod documentation;
mod flask;
mod forms;
mod harness;
mod hooks;
mod hostile;
mod layers;
mod manners;
mod site;
mod slow_clients;
mod supervision;
mod wheel;
