//! Section "Worker Processes".

use crate::config::Config;
use crate::config::kinds::{Count, Kind, text};
use crate::config::object::ClassRef;
use crate::config::setting::{Refers, Scope, Shape};
use crate::config::value::{Value, quoted};
use crate::sys::cpus;

/// The most threads a worker can have.
pub const MOST_THREADS: usize = 1024;

macro_rules! worker_processes {
    ($($chain:tt)*) => { settings! { $($chain)* WorkerProcesses {
        /// Worker processes; auto: one per CPU.
        ///
        /// A sync worker answers one request at a time, a gthread worker as many as it has `threads`;
        /// the product is the number of requests in the application at once. 2 to 4 workers per core
        /// are usual. 0 starts the master alone. `auto` is one per CPU that the server can use: those it
        /// may run on, or the CPU quota of its control group (containers, systemd's `CPUQuota`), rounded
        /// up, if that is less. HUP counts anew. `auto` is rgunicorn's own.
        workers: u32 = Workers {
            flags: ["-w", "--workers"],
            metavar: "INT",
            default: 1,
            env: "WEB_CONCURRENCY" => |text| match text.trim() {
                Workers::AUTO => Ok(Some(Workers::AUTO.into())),
                _ => number::int(text, Base::Ten)
                    .map(|number| Some(Value::Int(number)))
                    .map_err(|_| super::kinds::invalid_int(text, 10)),
            },
            reload: Live,
        }

        /// The type of the workers: sync or gthread.
        ///
        /// A sync worker runs one request at a time, a gthread worker as many as it has `threads`. sync
        /// with more than one thread means gthread.
        worker_class: ClassRef = WorkerClass {
            flags: ["-k", "--worker-class"],
            metavar: "STRING",
            default: "sync",
            reload: Live,
        }

        /// Requests a worker handles at once, each in a thread of its own.
        ///
        /// More than 1 makes gthread workers of sync ones. A gthread worker
        /// has at least one thread: 0 counts as 1.
        threads: u32 = Threads {
            flags: ["--threads"],
            metavar: "INT",
            default: 1,
            reload: Workers,
        }

        /// The most client connections a worker keeps open.
        ///
        /// Idle keep-alive connections count. At the limit a worker accepts no more until one closes.
        worker_connections: u32 = Count {
            flags: ["--worker-connections"],
            metavar: "INT",
            default: 1000,
            reload: Workers,
        }

        /// Requests after which a worker is replaced; 0 means never.
        ///
        /// The worker serves until its replacement is ready, so it handles a few more. With 1 it handles
        /// exactly one, each request has a process of its own, and others wait until the next worker is
        /// ready.
        max_requests: u64 = BigCount {
            flags: ["--max-requests"],
            metavar: "INT",
            default: 0,
            reload: Workers,
        }

        /// The most requests added at random to `max_requests`.
        ///
        /// Each worker draws its own number from 0 up to this, so that they are not all replaced at
        /// once.
        max_requests_jitter: u64 = BigCount {
            flags: ["--max-requests-jitter"],
            metavar: "INT",
            default: 0,
            reload: Workers,
        }

        /// The memory that a worker may use before it is replaced; 0 means no limit.
        ///
        /// A number of bytes, or text such as 512M. What counts is the resident memory, as `ps` and `top`
        /// show it, on three looks in a row, two seconds apart. The worker serves until its replacement
        /// does. This setting is rgunicorn's own.
        max_worker_memory: u64 = Size {
            flags: ["--max-worker-memory"],
            metavar: "SIZE",
            default: 0,
            reload: Live,
        }

        /// Seconds after which a worker is replaced; 0 means never.
        ///
        /// The worker serves until its replacement does. This setting is rgunicorn's own.
        max_worker_lifetime: Duration = Time {
            flags: ["--max-worker-lifetime"],
            metavar: "SECONDS",
            default: 0,
            reload: Live,
        }

        /// The most seconds added to `max_worker_lifetime`, differently for each worker.
        ///
        /// Workers that were started together are not replaced together then. This setting is
        /// rgunicorn's own.
        max_worker_lifetime_jitter: Duration = Time {
            flags: ["--max-worker-lifetime-jitter"],
            metavar: "SECONDS",
            default: 0,
            reload: Live,
        }

        /// How many workers are replaced at a time, for their requests, their memory or their age.
        ///
        /// 0 counts as 1. This setting is rgunicorn's own.
        max_recycling: u32 = Count {
            flags: ["--max-recycling"],
            metavar: "INT",
            default: 1,
            reload: Live,
        }

        /// Seconds a worker may take to start before it is ended; 0 means any time.
        ///
        /// Its stacks are logged, and another one is started. In a reload it counts as a worker that
        /// could not start. This setting is rgunicorn's own.
        worker_boot_timeout: Duration = Time {
            flags: ["--worker-boot-timeout"],
            metavar: "SECONDS",
            default: 0,
            reload: Live,
        }

        /// Seconds without a sign of life after which a worker is killed and replaced.
        ///
        /// 0 means no limit. A sync worker gives none while it handles a request, so that this limits
        /// its requests. A gthread worker does: what counts there is how long a thread waits for the
        /// interpreter lock, which another one holds; `request_timeout` limits its requests. Loading the
        /// application is not limited by it.
        timeout: u64 = Seconds {
            flags: ["-t", "--timeout"],
            metavar: "INT",
            default: 30,
            reload: Live,
        }

        /// Seconds a request may be in the application before it is given up; 0 means no limit.
        ///
        /// The request and its stack are logged, and the client is answered with 503 if nothing of the
        /// response has been sent. A sync worker is replaced at once; a gthread worker as soon as its
        /// other requests are done, since a thread of Python cannot be ended. The value may have
        /// decimals. This setting is rgunicorn's own.
        request_timeout: Duration = Time {
            flags: ["--request-timeout"],
            metavar: "SECONDS",
            default: 0,
            reload: Workers,
        }

        /// Seconds a request may wait until it is handled; then it is answered with 503. 0 is no limit.
        ///
        /// The time runs from the moment the request was complete. Under a load that is too high it is
        /// better to turn some requests away at once than to answer all of them too late; the response
        /// has a Retry-After field. `%(W)s` in `access_log_format` shows the wait of each request. The
        /// value may have decimals. This setting is rgunicorn's own.
        max_queue_time: Duration = Time {
            flags: ["--max-queue-time"],
            metavar: "SECONDS",
            default: 0,
            reload: Workers,
        }

        /// Seconds that requests in progress get to finish when a worker is told to stop.
        graceful_timeout: u64 = Seconds {
            flags: ["--graceful-timeout"],
            metavar: "INT",
            default: 30,
            reload: Live,
        }

        /// Seconds to go on serving after SIGTERM, before the server begins to stop.
        ///
        /// For load balancers that need a while to notice (in Kubernetes: until the endpoint is gone
        /// everywhere). New connections are accepted, and each connection is closed with its next
        /// response. A second SIGTERM, SIGINT or SIGQUIT ends the wait. The value may have decimals.
        /// This setting is rgunicorn's own.
        shutdown_delay: Duration = Time {
            flags: ["--shutdown-delay"],
            metavar: "SECONDS",
            default: 0,
            reload: Live,
        }

        /// Seconds an idle connection is kept open for the next request.
        ///
        /// 0 closes every connection after one response. gunicorn's sync workers always do that;
        /// rgunicorn's keep connections alive.
        keepalive: u64 = Seconds {
            flags: ["--keep-alive"],
            metavar: "INT",
            default: 2,
            reload: Workers,
        }
    } } };
}
pub(super) use worker_processes;

/// A number of worker processes, which may be left to the machine.
pub struct Workers;

impl Workers {
    /// As many as there are CPUs to use.
    pub const AUTO: &'static str = "auto";
}

impl Kind for Workers {
    type Out = u32;
    const SHAPE: Shape = Shape::IntOr(Self::AUTO);
    const ACCEPTS: &'static str = "integer, 0 or more, or auto";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::Str(text) if text.trim() == Self::AUTO => {
                Ok(u32::try_from(cpus::usable()).unwrap_or(u32::MAX))
            }
            value => Count::parse(value, scope),
        }
    }

    fn value(out: &Self::Out) -> Value {
        Count::value(out)
    }
}

/// The type of the workers, under gunicorn's short and full names, or its class.
pub struct WorkerClass;

const SYNC: [&str; 2] = ["sync", "gunicorn.workers.sync.SyncWorker"];
const GTHREAD: [&str; 2] = ["gthread", "gunicorn.workers.gthread.ThreadWorker"];

impl Kind for WorkerClass {
    type Out = ClassRef;
    const SHAPE: Shape = Shape::One;
    const REFERS: Refers = Refers::Class;
    const ACCEPTS: &'static str = "sync or gthread, or the class or dotted path of either";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        let class = match value {
            Value::Object(object) if object.is_class => ClassRef::Object(object.clone()),
            value => ClassRef::Name(text(value)?),
        };
        if is(&class, SYNC) || is(&class, GTHREAD) {
            return Ok(class);
        }
        let shown = match &class {
            ClassRef::Name(name) => quoted(name),
            ClassRef::Object(object) => object.text.clone(),
        };
        Err(format!(
            "rgunicorn has only the worker classes 'sync' and 'gthread' yet, not {shown}; use one of \
             them, or keep gunicorn for this application"
        ))
    }

    fn value(out: &Self::Out) -> Value {
        out.value()
    }
}

/// Whether a class is the one with this short and this full name. gunicorn skips any `#` in front of
/// a short name.
fn is(class: &ClassRef, [short, full]: [&str; 2]) -> bool {
    match class {
        ClassRef::Name(name) => name.trim_start_matches('#') == short || name == full,
        ClassRef::Object(object) => object.path().as_deref() == Some(full),
    }
}

/// Threads per worker: as many as the scoreboard has room for.
pub struct Threads;

impl Kind for Threads {
    type Out = u32;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "integer, 0 to 1024";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let threads = Count::parse(value, scope)?;
        if usize::try_from(threads).is_ok_and(|threads| threads <= MOST_THREADS) {
            return Ok(threads);
        }
        Err(format!(
            "a worker can have at most {MOST_THREADS} threads, not {threads}; use more workers instead"
        ))
    }

    fn value(out: &Self::Out) -> Value {
        Count::value(out)
    }
}

impl Config {
    /// Whether the workers are gthread workers, which run requests in threads. Those are what
    /// gunicorn's `wsgi.multithread` tells of, even if there is one thread only.
    #[must_use]
    pub fn is_threaded(&self) -> bool {
        self.becomes_gthread() || is(&self.worker_class, GTHREAD)
    }

    /// How many requests a worker runs at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        let threads = if self.is_threaded() { self.threads } else { 1 };
        usize::try_from(threads).unwrap_or(MOST_THREADS).max(1)
    }

    /// The worker class in force, in the words of gunicorn's log.
    #[must_use]
    pub fn effective_worker_class(&self) -> &str {
        match &self.worker_class {
            _ if self.becomes_gthread() => "gthread",
            ClassRef::Name(name) => name,
            ClassRef::Object(object) => object.name(),
        }
    }

    /// More than one thread makes gthread workers of sync ones that are given by name. (`#sync` is not
    /// such a name for gunicorn.)
    fn becomes_gthread(&self) -> bool {
        self.threads > 1 && self.worker_class.name().is_some_and(|name| SYNC.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::object::testing;
    use std::path::Path;

    fn class(value: impl Into<Value>) -> Result<ClassRef, String> {
        WorkerClass::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    fn threads(value: impl Into<Value>) -> Result<u32, String> {
        Threads::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    #[test]
    fn what_is_not_there_yet_is_refused_with_a_sentence() {
        assert_eq!(class(" sync "), Ok("sync".into()));
        for name in ["gevent", "eventlet", "tornado", "SyncWorker"] {
            let error = class(name).unwrap_err();
            let sentence =
                format!("only the worker classes 'sync' and 'gthread' yet, not '{name}'");
            assert!(error.contains(&sentence), "{error}");
        }
        let error = class(testing::class("x", "W")).unwrap_err();
        assert!(error.contains("not <class 'x.W'>"), "{error}");
        assert_eq!(class(3), Err("Not a string: 3".into()));
    }

    #[test]
    fn the_machine_may_choose_the_number_of_workers() {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        let workers = |value: Value| Workers::parse(&value, &scope);
        let cpus = u32::try_from(cpus::usable()).unwrap();
        assert_eq!([workers("auto".into()), workers(" auto ".into())], [Ok(cpus), Ok(cpus)]);
        assert_eq!([workers(0.into()), workers("0x2".into())], [Ok(0), Ok(2)]);
        for text in ["AUTO", "automatic", ""] {
            let message = format!("invalid literal for int() with base 0: '{text}'");
            assert_eq!(workers(text.into()), Err(message));
        }
    }

    #[test]
    fn threads_have_an_upper_limit() {
        assert_eq!(threads("4"), Ok(4));
        assert!(Threads::ACCEPTS.ends_with(&format!(" {MOST_THREADS}")));
        assert_eq!(threads(1024), Ok(1024));
        let error = threads(1025).unwrap_err();
        assert!(error.contains("at most 1024 threads, not 1025"), "{error}");
        assert_eq!(threads(-1), Err("Value must be positive: -1".into()));
    }

    /// As observed with gunicorn 27.0.1.
    #[test]
    fn sync_with_threads_is_gthread() {
        let full = GTHREAD[1];
        for (class, threads, threaded, shown) in [
            ("sync", 0, false, "sync"),
            ("sync", 1, false, "sync"),
            ("sync", 2, true, "gthread"),
            (SYNC[1], 1, false, SYNC[1]),
            (SYNC[1], 2, true, "gthread"),
            ("gthread", 1, true, "gthread"),
            (full, 1, true, full),
            (full, 2, true, full),
        ] {
            let config = Config { worker_class: class.into(), threads, ..Config::default() };
            assert_eq!(config.is_threaded(), threaded, "{class} {threads}");
            assert_eq!(config.effective_worker_class(), shown, "{class} {threads}");
        }
        let sync = testing::class("gunicorn.workers.sync", "SyncWorker");
        let worker_class =
            WorkerClass::parse(&sync.into(), &Scope { start: Path::new("/"), conf_file: true })
                .unwrap();
        let config = Config { worker_class, threads: 4, ..Config::default() };
        assert_eq!((config.is_threaded(), config.slots()), (false, 1));
        assert_eq!(config.effective_worker_class(), "SyncWorker");
        let slots = |threads| Config { threads, ..Config::default() }.slots();
        assert_eq!([0, 1, 5].map(slots), [1, 1, 5]);
    }

    #[test]
    fn our_own_limits_are_off_by_default() {
        let config = Config::default();
        assert_eq!([config.request_timeout, config.max_queue_time], [std::time::Duration::ZERO; 2]);
    }
}
