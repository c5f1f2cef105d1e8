//! What the server calls itself, and whose package `gunicorn` is.

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Server, ServerKind};

on_both_servers!(names_set_in_the_conf_file, heads_without_a_name);
on_rgunicorn!(
    heads_with_other_changes,
    names_set_later,
    names_that_no_header_may_have,
    whose_package_it_is
);

/// Answers with what the query, an expression, is.
const APP: &str = "import gunicorn, importlib.metadata, os, subprocess, sys, urllib.parse\n\
                   def assign(name, value):\n\
                   \x20   setattr(gunicorn, name, value)\n\
                   \x20   return 'assigned'\n\
                   def app(environ, start_response):\n\
                   \x20   text = urllib.parse.unquote(environ['QUERY_STRING'])\n\
                   \x20   start_response('200 OK', [])\n\
                   \x20   try: value = str(eval(text, globals(), {'environ': environ}))\n\
                   \x20   except Exception as error: value = f'{type(error).__name__}: {error}'\n\
                   \x20   return [value.encode()]\n";

fn serve(kind: ServerKind, conf: &str) -> Server {
    let builder = Builder::new(kind).in_own_dir().file("evaluate.py", APP);
    builder.file("gunicorn.conf.py", conf).app("evaluate:app").start()
}

/// The name in the Server header, and what the expression is.
#[track_caller]
fn ask(server: &Server, expression: &str) -> (String, String) {
    let expression = expression.replace(' ', "%20").replace('"', "%22");
    let response = server.get(&format!("/?{expression}"));
    (response.header("Server").unwrap_or_default().to_owned(), response.text())
}

fn names_set_in_the_conf_file(kind: ServerKind) {
    let conf = "import gunicorn\ngunicorn.SERVER = 'shop'\ngunicorn.SERVER_SOFTWARE = 'shop/9'\n";
    let server = serve(kind, conf);
    let own = format!("{}/{}", kind.name(), kind.version());
    for (expression, value) in [
        ("environ['SERVER_SOFTWARE']", "shop/9"),
        // Exported before the conf file is read.
        ("os.environ['SERVER_SOFTWARE']", &own),
        ("gunicorn.SERVER", "shop"),
        ("gunicorn.__version__", "27.0.1"),
        ("gunicorn.version_info", "(27, 0, 1)"),
        ("importlib.metadata.version('gunicorn')", "27.0.1"),
    ] {
        assert_eq!(ask(&server, expression), ("shop".into(), value.into()), "{expression}");
    }
}

/// What people write into conf files so that the server does not tell what it is.
fn heads_without_a_name(kind: ServerKind) {
    let lines = "import gunicorn.http.wsgi as wsgi\n\
                 def nameless(lines): return [x for x in lines if not x.startswith('Server:')]\n";
    for (conf, name) in [
        ("wsgi.SERVER = 'other'\n", Some("other")),
        (
            "from functools import wraps\n\
             def wrap(original):\n\
             \x20   @wraps(original)\n\
             \x20   def default_headers(*args, **kwargs):\n\
             \x20       return nameless(original(*args, **kwargs))\n\
             \x20   return default_headers\n\
             wsgi.Response.default_headers = wrap(wsgi.Response.default_headers)\n",
            None,
        ),
        (
            "class Response(wsgi.Response):\n\
             \x20   def default_headers(self, *args, **kwargs):\n\
             \x20       return nameless(super().default_headers(*args, **kwargs))\n\
             wsgi.Response = Response\n",
            None,
        ),
        (
            "class Response(wsgi.Response):\n\
             \x20   def default_headers(self):\n\
             \x20       return nameless(super().default_headers()) + ['Server: mine\\r\\n']\n\
             wsgi.Response = Response\n",
            Some("mine"),
        ),
    ] {
        let server = serve(kind, &format!("{lines}{conf}"));
        let response = server.get("/?1");
        assert_eq!((response.header("Server"), response.text()), (name, "1".into()), "{conf}");
    }
}

/// What would have no effect is refused.
fn heads_with_other_changes(kind: ServerKind) {
    for change in [
        "wsgi.Response.write = None",
        "wsgi.Response = type('R', (wsgi.Response,), {'process_headers': print})",
        "wsgi.Response.default_headers = lambda self: ['X: y\\r\\n']",
        "wsgi.Response.default_headers = lambda self: self.no_such",
    ] {
        let conf = format!("import gunicorn.http.wsgi as wsgi\n{change}\n");
        let builder = Builder::new(kind).without_bind().in_own_dir();
        let outcome = builder.file("gunicorn.conf.py", &conf).app("evaluate:app").run();
        assert_eq!(outcome.status, Some(1), "{change}: {}", outcome.stderr);
        let refusal =
            "RuntimeError: rgunicorn writes responses itself: of gunicorn.http.wsgi.Response";
        assert!(outcome.stderr.contains(refusal), "{change}: {}", outcome.stderr);
    }
}

fn names_set_later(kind: ServerKind) {
    let conf =
        "def post_worker_init(worker):\n\x20   import gunicorn\n\x20   gunicorn.SERVER = 'hook'\n";
    assert_eq!(ask(&serve(kind, conf), "1").0, "hook");
    let server = serve(kind, "threads = 2\n");
    let own = format!("rgunicorn/{}", kind.version());
    assert_eq!(ask(&server, "environ['SERVER_SOFTWARE']"), ("rgunicorn".into(), own));
    assert_eq!(ask(&server, "assign('SERVER', 'caf\\xe9')").1, "assigned");
    assert_eq!(ask(&server, "assign('SERVER_SOFTWARE', 'x/1')").0, "café");
    for _ in 0..4 {
        let found = ask(&server, "environ['SERVER_SOFTWARE']");
        assert_eq!(found, ("café".into(), "x/1".into()));
    }
    assert_eq!(ask(&server, "assign('SERVER', '')").0, "");
}

fn names_that_no_header_may_have(kind: ServerKind) {
    let server = serve(kind, "");
    for value in ["'a\\r\\nSet-Cookie: x'", "'\\0'", "'\\x7f'", "'\\u20ac'"] {
        let (_, text) = ask(&server, &format!("assign('SERVER', {value})"));
        assert!(text.starts_with("ValueError: ") && text.contains("Server header"), "{text}");
    }
    assert_eq!(ask(&server, "gunicorn.SERVER"), ("rgunicorn".into(), "rgunicorn".into()));
}

fn whose_package_it_is(kind: ServerKind) {
    let server = serve(kind, "import sys\nassert 'gunicorn' in sys.modules\n");
    let file = ask(&server, "gunicorn.__file__").1;
    assert_eq!(file, "<rgunicorn>/gunicorn/__init__.py");
    // Another process of the same environment has the gunicorn that is installed there.
    let other = "subprocess.run([sys.executable, '-c', 'import gunicorn; print(gunicorn.__file__)'], \
                 capture_output=True, text=True).stdout";
    let file = ask(&server, other).1;
    assert!(file.trim().ends_with("site-packages/gunicorn/__init__.py"), "{file}");
}
