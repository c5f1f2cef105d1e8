//! Section "Worker Processes".

use crate::config::kinds::{Count, Kind, text};
use crate::config::setting::{Scope, Shape};
use crate::config::value::{Value, quoted};

macro_rules! worker_processes {
    ($($chain:tt)*) => { settings! { $($chain)* WorkerProcesses {
        /// The number of worker processes.
        ///
        /// A sync worker answers one request at a time, so this is the number of requests in the
        /// application at once; 2 to 4 per core is usual. 0 starts the master alone.
        workers: u32 = Count {
            flags: ["-w", "--workers"],
            metavar: "INT",
            default: 1,
            env: "WEB_CONCURRENCY" => |text| {
                number::int(text, Base::Ten)
                    .map(Value::Int)
                    .map_err(|_| super::kinds::invalid_int(text, 10))
            },
            reload: Live,
        }

        /// The type of the workers; only sync is there yet.
        worker_class: String = Class {
            flags: ["-k", "--worker-class"],
            metavar: "STRING",
            default: "sync",
            reload: Live,
        }

        /// Requests a worker process handles at once, in threads; only 1 is there yet.
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

        /// Seconds a request may take before its worker is killed and replaced.
        ///
        /// 0 means no limit. Loading the application is not limited by it.
        timeout: u64 = Seconds {
            flags: ["-t", "--timeout"],
            metavar: "INT",
            default: 30,
            reload: Live,
        }

        /// Seconds that requests in progress get to finish when a worker is told to stop.
        graceful_timeout: u64 = Seconds {
            flags: ["--graceful-timeout"],
            metavar: "INT",
            default: 30,
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

/// The type of the workers: for now only `sync`, under gunicorn's short and full names.
pub struct Class;

impl Kind for Class {
    type Out = String;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "sync";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        let refusal = |class: &str| {
            format!("rgunicorn has only the worker class 'sync' yet, not {class}; leave it out")
        };
        match value {
            Value::Other { type_name, text }
                if matches!(type_name.as_str(), "type" | "function") =>
            {
                Err(refusal(text))
            }
            value => match text(value)?.as_str() {
                class @ ("sync" | "gunicorn.workers.sync.SyncWorker") => Ok(class.into()),
                class => Err(refusal(&quoted(class))),
            },
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.into()
    }
}

/// Threads per worker: for now at most one.
pub struct Threads;

impl Kind for Threads {
    type Out = u32;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "0 or 1";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        match Count::parse(value, scope)? {
            threads @ 0..=1 => Ok(threads),
            threads => Err(format!(
                "rgunicorn has no worker threads yet, so threads cannot be {threads}; leave it out \
                 and use more workers instead"
            )),
        }
    }

    fn value(out: &Self::Out) -> Value {
        Count::value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_is_not_there_yet_is_refused_with_a_sentence() {
        let scope = &Scope { start: Path::new("/"), conf_file: true };
        assert_eq!(Class::parse(&" sync ".into(), scope), Ok("sync".into()));
        let error = Class::parse(&"gevent".into(), scope).unwrap_err();
        assert!(error.contains("only the worker class 'sync' yet, not 'gevent'"), "{error}");
        let class = Value::Other { type_name: "type".into(), text: "<class 'x.W'>".into() };
        assert!(Class::parse(&class, scope).unwrap_err().contains("not <class 'x.W'>"));
        assert_eq!(Class::parse(&3.into(), scope), Err("Not a string: 3".into()));

        assert_eq!(Threads::parse(&1.into(), scope), Ok(1));
        let error = Threads::parse(&"4".into(), scope).unwrap_err();
        assert!(error.contains("threads cannot be 4"), "{error}");
        assert_eq!(Threads::parse(&(-1).into(), scope), Err("Value must be positive: -1".into()));
    }
}
