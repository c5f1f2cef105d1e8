//! Monitoring agents that come in by a `sitecustomize` of their own, as with `newrelic-admin
//! run-program` and `ddtrace-run`: they watch imports and wrap what is imported.

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};

on_both_servers!(an_agent_watches_imports, an_agent_has_imported_gunicorn);

/// A finder in front of all others. It puts a loader of its own around each, replaces that one's
/// `get_code`, and wraps the method of gunicorn that returns the application.
const AGENT: &str = r#"
import importlib.util, sys

class Loader:
    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        get_code = getattr(self.loader, "get_code", None)
        if get_code is not None:
            def counted(loader, name):
                SEEN.append(name)
                return get_code(name)
            self.loader.get_code = counted.__get__(self.loader, type(self.loader))
        self.loader.exec_module(module)
        if module.__name__ == "gunicorn.app.base":
            wrap(module.Application)

class Finder:
    busy = set()

    def find_spec(self, name, path=None, target=None):
        if name in self.busy:
            return None
        self.busy.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy.discard(name)
        if spec is not None and spec.loader is not None and name.split(".")[0] in WATCHED:
            spec.loader = Loader(spec.loader)
        return spec

def wrap(application):
    original = application.wsgi
    def wsgi(self):
        inner = original(self)
        def outer(environ, start_response):
            def start(status, headers, exc_info=None):
                return start_response(status, headers + [("X-Agent", "here")], exc_info)
            return inner(environ, start)
        return outer
    application.wsgi = wsgi

SEEN = []
WATCHED = ["gunicorn", "watched"]
sys.meta_path.insert(0, Finder())
"#;

/// Tells what the agent has seen.
const APP: &str = r#"
import gunicorn, gunicorn.app.base, sitecustomize, sys

def app(environ, start_response):
    start_response("200 OK", [])
    names = [name for name in sitecustomize.SEEN if name in ("watched", "gunicorn.app.base")]
    return [repr((names, gunicorn.__version__, gunicorn.app.base.Application.__module__)).encode()]
"#;

fn with_agent(kind: ServerKind, agent: &str) -> Builder {
    let builder = Builder::new(kind).in_own_dir().file("watched.py", APP).app("watched:app");
    std::fs::create_dir(builder.dir().join("agent")).expect("the directory is writable");
    let path = builder.dir().join("agent");
    builder.file("agent/sitecustomize.py", agent).env("PYTHONPATH", path)
}

fn an_agent_watches_imports(kind: ServerKind) {
    for preload in [&[][..], &["--preload"]] {
        let server = with_agent(kind, AGENT).args(preload).start();
        let response = server.get("/");
        assert_eq!(response.header("X-Agent"), Some("here"), "{}", response.text());
        let seen = "(['gunicorn.app.base', 'watched'], '27.0.1', 'gunicorn.app.base')";
        assert_eq!(response.text(), seen);
    }
}

fn an_agent_has_imported_gunicorn(kind: ServerKind) {
    let agent = "import gunicorn, gunicorn.util\nSEEN = ['watched', 'gunicorn.app.base']\n";
    let server = with_agent(kind, agent).start();
    assert!(server.get("/").text().ends_with("'27.0.1', 'gunicorn.app.base')"));
}
