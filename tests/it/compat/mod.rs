//! The importable `gunicorn` package inside the server's processes, and packages that need it.

mod agents;
mod identity;
mod loggers;
mod metrics;
mod package;
mod sentry;
mod telemetry;
mod titles;
