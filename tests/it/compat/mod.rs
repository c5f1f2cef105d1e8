//! The importable `gunicorn` package inside the server's processes.

mod agents;
mod identity;
mod loggers;
mod package;
mod sentry;
