//! What the package consists of. A new module is a line here.

use pyo3::prelude::*;

use super::native;

/// One module of the package.
pub struct Module {
    pub name: &'static str,
    /// What its frames are called in tracebacks; there is no such file.
    pub file: &'static str,
    pub body: Body,
}

/// What is executed when a module is imported.
#[derive(Clone, Copy)]
pub enum Body {
    /// Python.
    Source(&'static str),
    /// A function that puts its names into it.
    Native(fn(&Bound<'_, PyModule>) -> PyResult<()>),
}

impl Module {
    pub fn is_package(&self) -> bool {
        self.file.ends_with("/__init__.py")
    }

    pub fn source(&self) -> Option<&'static str> {
        match self.body {
            Body::Source(source) => Some(source),
            Body::Native(_) => None,
        }
    }
}

/// The module of that name.
pub fn find(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name)
}

macro_rules! source {
    ($name:literal, $file:literal) => {
        Module {
            name: $name,
            file: concat!("<rgunicorn>/gunicorn/", $file),
            body: Body::Source(include_str!($file)),
        }
    };
}

macro_rules! native {
    ($name:literal, $fill:path) => {
        Module { name: $name, file: "<rgunicorn>", body: Body::Native($fill) }
    };
}

pub static MODULES: &[Module] = &[
    source!("gunicorn", "__init__.py"),
    native!("gunicorn._native", native::fill),
    source!("gunicorn.__main__", "__main__.py"),
    source!("gunicorn._absent", "_absent.py"),
    source!("gunicorn._heads", "_heads.py"),
    source!("gunicorn._hooks", "_hooks.py"),
    source!("gunicorn._submodules", "_submodules.py"),
    source!("gunicorn._titles", "_titles.py"),
    source!("gunicorn._validators", "_validators.py"),
    source!("gunicorn.app", "app/__init__.py"),
    source!("gunicorn.app.base", "app/base.py"),
    source!("gunicorn.app.wsgiapp", "app/wsgiapp.py"),
    source!("gunicorn.arbiter", "arbiter.py"),
    source!("gunicorn.config", "config.py"),
    source!("gunicorn.debug", "debug.py"),
    source!("gunicorn.errors", "errors.py"),
    source!("gunicorn._logs", "_logs.py"),
    source!("gunicorn.glogging", "glogging.py"),
    source!("gunicorn.instrument", "instrument/__init__.py"),
    source!("gunicorn.instrument.statsd", "instrument/statsd.py"),
    source!("gunicorn.http", "http/__init__.py"),
    source!("gunicorn.http.body", "http/body.py"),
    source!("gunicorn.http.errors", "http/errors.py"),
    source!("gunicorn.http.message", "http/message.py"),
    source!("gunicorn.http.wsgi", "http/wsgi.py"),
    source!("gunicorn.pidfile", "pidfile.py"),
    source!("gunicorn.reloader", "reloader.py"),
    source!("gunicorn.sock", "sock.py"),
    source!("gunicorn.systemd", "systemd.py"),
    source!("gunicorn.util", "util.py"),
    source!("gunicorn.workers", "workers/__init__.py"),
    source!("gunicorn.workers.base", "workers/base.py"),
    source!("gunicorn.workers.base_async", "workers/base_async.py"),
    source!("gunicorn.workers.gthread", "workers/gthread.py"),
    source!("gunicorn.workers.sync", "workers/sync.py"),
    source!("gunicorn.workers.workertmp", "workers/workertmp.py"),
];
