//! The functions that a configuration gives for the hooks, looked up once.

use pyo3::prelude::*;

use crate::config::Config;
use crate::config::object::Hook;
use crate::python::objects;

/// A hook that is called with so many arguments, if it is set.
pub type Function = Option<Py<PyAny>>;

/// The hooks of the master.
pub struct MasterFunctions {
    pub on_starting: Function,
    pub when_ready: Function,
    pub pre_fork: Function,
    pub child_exit: Function,
    pub nworkers_changed: Function,
    pub on_reload: Function,
    pub pre_exec: Function,
    pub on_exit: Function,
}

/// The hooks of a worker, those around requests left out.
pub struct WorkerFunctions {
    pub post_fork: Function,
    pub post_worker_init: Function,
    pub worker_int: Function,
    pub worker_abort: Function,
    pub worker_exit: Function,
}

/// The hook before a request, and the one behind it with the number of its arguments.
pub struct RequestFunctions {
    pub pre: Function,
    pub post: Option<(Py<PyAny>, usize)>,
}

/// Whether anything is set.
pub fn any(config: &Config) -> bool {
    [
        &config.on_starting,
        &config.when_ready,
        &config.pre_fork,
        &config.child_exit,
        &config.nworkers_changed,
        &config.on_reload,
        &config.pre_exec,
        &config.on_exit,
        &config.post_fork,
        &config.post_worker_init,
        &config.worker_int,
        &config.worker_abort,
        &config.worker_exit,
        &config.pre_request,
        &config.post_request,
    ]
    .into_iter()
    .any(|hook| hook.object().is_some())
}

impl MasterFunctions {
    pub fn of(py: Python<'_>, config: &Config) -> PyResult<Self> {
        Ok(Self {
            on_starting: function(py, &config.on_starting)?,
            when_ready: function(py, &config.when_ready)?,
            pre_fork: function(py, &config.pre_fork)?,
            child_exit: function(py, &config.child_exit)?,
            nworkers_changed: function(py, &config.nworkers_changed)?,
            on_reload: function(py, &config.on_reload)?,
            pre_exec: function(py, &config.pre_exec)?,
            on_exit: function(py, &config.on_exit)?,
        })
    }
}

impl WorkerFunctions {
    pub fn of(py: Python<'_>, config: &Config) -> PyResult<Self> {
        Ok(Self {
            post_fork: function(py, &config.post_fork)?,
            post_worker_init: function(py, &config.post_worker_init)?,
            worker_int: function(py, &config.worker_int)?,
            worker_abort: function(py, &config.worker_abort)?,
            worker_exit: function(py, &config.worker_exit)?,
        })
    }
}

impl RequestFunctions {
    /// `None` if neither is set.
    pub fn of(py: Python<'_>, config: &Config) -> PyResult<Option<Self>> {
        let pre = function(py, &config.pre_request)?;
        let arity = config.post_request.object().and_then(|object| object.arity.clone());
        let post = function(py, &config.post_request)?;
        let post = post.map(|post| (post, arity.and_then(Result::ok).unwrap_or(4)));
        Ok((pre.is_some() || post.is_some()).then_some(Self { pre, post }))
    }
}

fn function(py: Python<'_>, hook: &Hook) -> PyResult<Function> {
    hook.object().map(|object| objects::get(py, object).map(Bound::unbind)).transpose()
}
