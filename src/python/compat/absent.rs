//! Modules of gunicorn that the package does not have, and why.

/// Names, each with everything in it, and what to tell whoever imports them.
const ABSENT: &[(&str, &str)] = &[
    ("gunicorn.asgi", "it does not serve ASGI applications"),
    ("gunicorn.workers.gasgi", "it does not serve ASGI applications"),
    ("gunicorn.ctl", "it has no control socket"),
    ("gunicorn.dirty", "it has no dirty arbiters"),
    ("gunicorn.http.parser", "the server reads requests, and not in Python"),
    ("gunicorn.http.unreader", "the server reads requests, and not in Python"),
    ("gunicorn.http2", "it does not speak HTTP/2"),
    ("gunicorn.uwsgi", "it does not speak the uwsgi protocol"),
    ("gunicorn.workers.ggevent", "it has no gevent workers"),
    ("gunicorn.workers.gtornado", "it has no tornado workers"),
    ("gunicorn.app.pasterapp", "it does not read Paste configurations"),
];

/// Why a module that gunicorn has is missing; `None` for names that gunicorn does not have either.
pub fn reason(name: &str) -> Option<&'static str> {
    let within = |package: &str| {
        name.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    ABSENT.iter().find(|(package, _)| within(package)).map(|(_, reason)| *reason)
}
