//! Finding the application, and how a server ends that cannot.

use std::fs;

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};

on_both_servers!(
    found,
    not_found,
    broken,
    no_application,
    wsgi_app_setting,
    check_config,
    import_path,
    submodules
);

/// Application, what it answers.
const FOUND: &[(&str, &str)] = &[
    ("factories", "plain"),
    ("factories:application", "plain"),
    ("factories:create_app()", "created"),
    ("factories:factory()", "() {}"),
    ("factories:factory(1, 'two', k=\"v\", n=None)", "(1, 'two') {'k': 'v', 'n': None}"),
    ("factories:factory([1, {'a': (2.5, True)}])", "([1, {'a': (2.5, True)}],) {}"),
];

fn found(kind: ServerKind) {
    for &(app, answer) in FOUND {
        let server = Builder::new(kind).app(app).start();
        assert_eq!(server.get("/").text(), answer, "{app}");
    }
}

/// Application, exit status, what stderr says.
const NOT_FOUND: &[(&str, i32, &str)] = &[
    ("no_such_module:app", 3, "No module named 'no_such_module'"),
    ("factories.py", 3, "Failed to find application, did you mean 'factories:application'?"),
    ("factories:missing", 4, "Failed to find attribute 'missing' in 'factories'."),
    (
        "factories:Holder.app",
        4,
        "Failed to parse 'Holder.app' as an attribute name or function call.",
    ),
    ("factories:", 4, "Failed to parse '' as an attribute name or function call."),
    ("factories:not_callable", 4, "Application object must be callable."),
    ("factories:returns_none()", 4, "Failed to find application object: 'returns_none()'"),
    ("factories:1 +", 4, "Failed to parse '1 +' as an attribute name or function call."),
    ("factories:Holder.app()", 4, "Function reference must be a simple name: 'Holder.app()'"),
    ("factories:factory(open)", 4, "Failed to parse arguments as literal values: 'factory(open)'"),
    ("factories:needs()", 4, "needs() missing 1 required positional argument: 'argument'"),
];

fn not_found(kind: ServerKind) {
    check_exits(kind, NOT_FOUND);
}

/// The same for modules that fail when they are imported.
const BROKEN: &[(&str, i32, &str)] = &[
    ("broken_syntax:app", 3, "SyntaxError: expected ':'"),
    ("broken_import:app", 3, "No module named 'no_such_module_anywhere'"),
    ("broken_raise:app", 3, "RuntimeError: at import"),
    ("factories:fails()", 3, "TypeError: inside the factory"),
];

fn broken(kind: ServerKind) {
    check_exits(kind, BROKEN);
}

#[track_caller]
fn check_exits(kind: ServerKind, cases: &[(&str, i32, &str)]) {
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|&(app, status, message)| {
            let outcome = Builder::new(kind).app(app).run();
            let reason = if status == 3 { "Worker failed to boot." } else { "App failed to load." };
            let fine = outcome.status == Some(status)
                && outcome.stderr.contains(message)
                && outcome.stderr.contains("[ERROR] Shutting down: Master\n")
                && outcome.stderr.contains(&format!("[ERROR] Reason: {reason}\n"))
                && !outcome.stderr.contains("panicked");
            (!fine).then(|| format!("{app}: status {:?}, {}", outcome.status, outcome.stderr))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn no_application(kind: ServerKind) {
    let outcome = Builder::new(kind).run();
    assert_eq!(outcome.status, Some(1));
    assert!(
        outcome.stderr.contains("Error: No application module specified."),
        "{}",
        outcome.stderr
    );
}

fn wsgi_app_setting(kind: ServerKind) {
    let conf = "wsgi_app = 'factories:create_app()'\n";
    let server = Builder::new(kind).file("gunicorn.conf.py", conf).start();
    assert_eq!(server.get("/").text(), "created");
    // The command line wins.
    let server = Builder::new(kind).file("gunicorn.conf.py", conf).app("factories").start();
    assert_eq!(server.get("/").text(), "plain");
}

fn check_config(kind: ServerKind) {
    let outcome = Builder::new(kind).app("factories").args(["--check-config"]).run();
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(0), ""), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");

    let outcome = Builder::new(kind).app("broken_raise:app").args(["--check-config"]).run();
    assert_eq!(outcome.status, Some(1));
    assert!(
        outcome.stderr.contains("Error while loading the application:\n"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("RuntimeError: at import"), "{}", outcome.stderr);
}

/// Applications are found in the start directory, under `chdir` and under `pythonpath`.
fn import_path(kind: ServerKind) {
    let text = |name: &str| {
        format!(
            "import os\n\ndef application(environ, start_response):\n    \
             start_response('200 OK', [])\n    return [b'{name} ', os.getcwd().encode()]\n"
        )
    };
    let builder = Builder::new(kind).app("placed").in_own_dir().file("placed.py", &text("own"));
    let own = fs::canonicalize(builder.dir()).expect("the directory exists");
    let server = builder.start();
    assert_eq!(server.get("/").text(), format!("own {}", own.display()));

    let other = tempfile::tempdir().expect("a temporary directory can be made");
    let place = fs::canonicalize(other.path()).expect("the directory exists");
    fs::write(place.join("placed.py"), text("other")).expect("the directory is writable");
    let server = Builder::new(kind).app("placed").chdir(&place).start();
    assert_eq!(server.get("/").text(), format!("other {}", place.display()));

    let builder = Builder::new(kind).app("placed").in_own_dir();
    let own = fs::canonicalize(builder.dir()).expect("the directory exists");
    let server = builder.args(["--pythonpath"]).args([&place]).start();
    assert_eq!(server.get("/").text(), format!("other {}", own.display()));

    // Modules are not to be there under two names of one directory.
    let text = "import os\n\ndef application(environ, start_response):\n    \
                start_response('200 OK', [])\n    return [os.path.dirname(__file__).encode()]\n";
    fs::write(place.join("placed.py"), text).expect("the directory is writable");
    let roundabout = place.join("sub/..").display().to_string();
    let builder = Builder::new(kind).app("placed").args(["--pythonpath", &roundabout]);
    assert_eq!(builder.start().get("/").text(), place.display().to_string());
}

/// Modules of the standard library that gunicorn has imported before the application.
fn submodules(kind: ServerKind) {
    let app = "
import concurrent, email, importlib, logging, urllib

PARTS = [
    urllib.parse.quote('a b'),
    concurrent.futures.ThreadPoolExecutor.__name__,
    email.utils.formatdate(0, usegmt=True),
    email.message.Message.__name__,
    importlib.metadata.PackageNotFoundError.__name__,
    logging.config.dictConfig.__name__,
    logging.handlers.SysLogHandler.__name__,
]
for package in (concurrent, email, importlib, logging, urllib):
    try:
        package.nothing
    except AttributeError as error:
        PARTS.append(str(error))

def app(environ, start_response):
    start_response('200 OK', [])
    return ['; '.join(PARTS).encode()]
";
    let bare = "
import logging
from gunicorn.glogging import Logger

class Bare(Logger):
    def setup(self, cfg):
        self.error_log.addHandler(logging.StreamHandler())
        self.error_log.setLevel('INFO')
";
    let start = |args: &[&str]| {
        let builder = Builder::new(kind).in_own_dir().app("parts:app").file("parts.py", app);
        // gunicorn imports `concurrent.futures` for threads.
        builder.file("bare.py", bare).args(["--threads", "2"]).args(args.iter().copied()).start()
    };
    for args in [&[][..], &["--logger-class", "bare.Bare"]] {
        assert_eq!(
            start(args).get("/").text(),
            "a%20b; ThreadPoolExecutor; Thu, 01 Jan 1970 00:00:00 GMT; Message; \
             PackageNotFoundError; dictConfig; SysLogHandler; \
             module 'concurrent' has no attribute 'nothing'; \
             module 'email' has no attribute 'nothing'; \
             module 'importlib' has no attribute 'nothing'; \
             module 'logging' has no attribute 'nothing'; \
             module 'urllib' has no attribute 'nothing'"
        );
    }
}
