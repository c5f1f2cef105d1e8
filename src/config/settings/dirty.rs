//! Sections "Dirty Arbiters" and "Dirty Arbiter Hooks".

macro_rules! dirty {
    ($($chain:tt)*) => { settings! { $($chain)* DirtyArbiters {
        /// An application for the pool of dirty workers, `MODULE:CLASS[:WORKERS]`; may be repeated.
        dirty_apps: Vec<String> = Strings {
            flags: ["--dirty-app"],
            metavar: "STRING",
            default: Value::List(Vec::new()),
            reload: Live,
            unbuilt: [],
        }

        /// The number of dirty workers, which do long work for the others; 0 means none.
        dirty_workers: u32 = Count {
            flags: ["--dirty-workers"],
            metavar: "INT",
            default: 0,
            reload: Live,
            unbuilt: [],
        }

        /// Seconds that one call of a dirty application may take; 0 means no limit.
        dirty_timeout: u64 = Seconds {
            flags: ["--dirty-timeout"],
            metavar: "INT",
            default: 300,
            reload: Live,
            unbuilt: [],
        }

        /// Threads of each dirty worker.
        dirty_threads: u32 = Count {
            flags: ["--dirty-threads"],
            metavar: "INT",
            default: 1,
            reload: Workers,
            unbuilt: [],
        }

        /// Seconds that dirty workers get to finish when they are told to stop.
        dirty_graceful_timeout: u64 = Seconds {
            flags: ["--dirty-graceful-timeout"],
            metavar: "INT",
            default: 30,
            reload: Live,
            unbuilt: [],
        }
    } DirtyArbiterHooks {
        /// Called in the dirty arbiter when it starts: `on_dirty_starting(arbiter)`.
        on_dirty_starting: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("OnDirtyStarting.on_dirty_starting"),
            reload: Restart,
            unbuilt: [],
        }

        /// Called in the dirty arbiter when it has forked a worker: `dirty_post_fork(arbiter, worker)`.
        dirty_post_fork: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("DirtyPostFork.dirty_post_fork"),
            reload: Live,
            unbuilt: [],
        }

        /// Called in a dirty worker that has loaded its applications: `dirty_worker_init(worker)`.
        dirty_worker_init: Hook = Callback<1> {
            flags: [],
            metavar: "",
            default: Value::Unset("DirtyWorkerInit.dirty_worker_init"),
            reload: Workers,
            unbuilt: [],
        }

        /// Called in the dirty arbiter when a worker has ended: `dirty_worker_exit(arbiter, worker)`.
        dirty_worker_exit: Hook = Callback<2> {
            flags: [],
            metavar: "",
            default: Value::Unset("DirtyWorkerExit.dirty_worker_exit"),
            reload: Live,
            unbuilt: [],
        }
    } } };
}
pub(super) use dirty;
