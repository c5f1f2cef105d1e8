//! The importable `gunicorn` package inside the server's processes.

mod identity;
mod package;
