//! Section "Server Hooks".

macro_rules! hooks {
    ($($chain:tt)*) => { settings! { $($chain)* ServerHooks {
        /// Called in the master before it listens: `on_starting(server)`.
        on_starting: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("OnStarting.on_starting"),
            reload: Restart,
        }

        /// Called in the master when it reloads on HUP: `on_reload(server)`.
        on_reload: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("OnReload.on_reload"),
            reload: Live,
        }

        /// Called in the master when it listens, before the first worker: `when_ready(server)`.
        when_ready: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("WhenReady.when_ready"),
            reload: Restart,
        }

        /// Called in the master before each worker is forked: `pre_fork(server, worker)`.
        pre_fork: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("Prefork.pre_fork"),
            reload: Live,
        }

        /// Called in each worker right after it was forked: `post_fork(server, worker)`.
        post_fork: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("Postfork.post_fork"),
            reload: Workers,
        }

        /// Called in each worker that has loaded the application: `post_worker_init(worker)`.
        post_worker_init: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("PostWorkerInit.post_worker_init"),
            reload: Workers,
        }

        /// Called in a worker that gets INT or QUIT, or reloads by itself: `worker_int(worker)`.
        worker_int: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("WorkerInt.worker_int"),
            reload: Workers,
        }

        /// Called in a worker that gets ABRT, as at its `timeout`: `worker_abort(worker)`.
        worker_abort: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("WorkerAbort.worker_abort"),
            reload: Workers,
        }

        /// Called before a new master is executed on USR2: `pre_exec(server)`.
        pre_exec: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("PreExec.pre_exec"),
            reload: Live,
        }

        /// Called in a worker before each request: `pre_request(worker, req)`.
        pre_request: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("PreRequest.pre_request"),
            reload: Workers,
        }

        /// Called in a worker after each request: `post_request(worker, req, environ, resp)`.
        ///
        /// The last parameter, or the last two, may be left out.
        post_request: Hook = AfterRequest {
            flags: [],
            metavar: "",
            default: Value::Unset("PostRequest.post_request"),
            reload: Workers,
        }

        /// Called in the master when a worker has ended: `child_exit(server, worker)`.
        child_exit: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("ChildExit.child_exit"),
            reload: Live,
        }

        /// Called in a worker when it ends: `worker_exit(server, worker)`.
        worker_exit: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("WorkerExit.worker_exit"),
            reload: Workers,
        }

        /// Called in the master when the number of workers is set: `nworkers_changed(server, new, old)`.
        ///
        /// The first time, at the start, `old` is None.
        nworkers_changed: Hook = Callback<3> {
            flags: [],
            metavar: "",
            default: Value::Unset("NumWorkersChanged.nworkers_changed"),
            reload: Live,
        }

        /// Called in the master before it exits: `on_exit(server)`.
        on_exit: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("OnExit.on_exit"),
            reload: Live,
        }

        /// Called to make the `ssl.SSLContext` for TLS: `ssl_context(config, default_factory)`.
        ssl_context: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("NewSSLContext.ssl_context"),
            reload: Workers,
        }
    } } };
}
pub(super) use hooks;
