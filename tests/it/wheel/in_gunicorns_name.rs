//! rgunicorn-as-gunicorn: for tools that start gunicorn themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::builder;
use super::install::{environment, install};
use crate::harness::venv;

const APP: &str = "
import gunicorn
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr((gunicorn.SERVER, gunicorn.__version__)).encode()]
";

/// What tools ask before they start it.
const ASK: &str = "
import importlib.metadata, importlib.util, shutil, sys
assert importlib.util.find_spec('gunicorn') is not None
assert shutil.which('gunicorn', path=sys.prefix + '/bin')
import gunicorn
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.app.base import BaseApplication
found = importlib.metadata.version('gunicorn')
assert found == gunicorn.__version__ == '27.0.1', found
assert [d.version for d in importlib.metadata.distributions(name='gunicorn')][0] == found
# As pip looks for what it is to remove.
each = [d for place in sys.path for d in importlib.metadata.distributions(path=[place])]
installed = [d.files for d in each if d.metadata['Name'] == 'gunicorn']
assert any(installed) == INSTALLED and all(installed) == INSTALLED, installed
print(gunicorn.SERVER)
";

/// The environment with it.
fn with_the_name() -> &'static Path {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        install(environment(), "src/wheel/gunicorn-shim");
        environment().to_owned()
    })
}

fn ask(variables: &[(&str, &str)]) -> Output {
    let mut python = Command::new(with_the_name().join("bin/python"));
    let installed = variables.iter().any(|(name, _)| *name == "PYTHONPATH");
    let ask = ASK.replace("INSTALLED", if installed { "True" } else { "False" });
    python.args(["-c", &ask]).env_remove("RGUNICORN_AS_GUNICORN");
    python.envs(variables.iter().copied()).output().expect("there is a python")
}

/// Where gunicorn itself can be imported from, too.
fn with_gunicorn() -> (&'static str, String) {
    let version = format!("python{}", env!("RGUNICORN_PYTHON_VERSION"));
    let path = venv::path().join("lib").join(version).join("site-packages");
    ("PYTHONPATH", path.to_str().expect("a path in UTF-8").to_owned())
}

#[test]
fn tools_that_start_gunicorn_start_rgunicorn() {
    let output = ask(&[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "rgunicorn\n", "{text}");
    for words in [&["gunicorn"][..], &["python", "-m", "gunicorn"]] {
        let mut server = builder(with_the_name(), words).file("app.py", APP).app("app:app").start();
        assert_eq!(server.get("/").text(), "('rgunicorn', '27.0.1')", "{words:?}");
        let mark = server.log.mark();
        server.signal(Signal::SIGUSR2);
        server.log.wait_for_since(mark, "Booting worker");
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        assert_eq!(server.get("/").text(), "('rgunicorn', '27.0.1')", "{words:?}");
    }
}

#[test]
fn gunicorn_itself_is_not_shadowed_unasked() {
    let (name, path) = with_gunicorn();
    let text = |output: Output| {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(text(ask(&[(name, &path)])), "gunicorn\n");
    assert_eq!(text(ask(&[(name, &path), ("RGUNICORN_AS_GUNICORN", "1")])), "rgunicorn\n");

    let run = |told: &str| {
        builder(with_the_name(), &["gunicorn", "--version"])
            .without_bind()
            .env(name, &path)
            .env("RGUNICORN_AS_GUNICORN", told)
            .run()
    };
    let outcome = run("");
    assert_eq!(outcome.status, Some(1));
    assert!(
        outcome.stderr.contains("gunicorn itself is installed here too ("),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("Set RGUNICORN_AS_GUNICORN=1"), "{}", outcome.stderr);
    let outcome = run("1");
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("rgunicorn (version "), "{}", outcome.stdout);
}
