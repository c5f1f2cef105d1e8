//! Virtual environments that were made with another build of the same Python.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::harness::cases::on_rgunicorn;
use crate::harness::server::is_wheel;
use crate::harness::{Builder, ServerKind, venv};

on_rgunicorn!(made_with_another_build);

const VERSION: &str = env!("RGUNICORN_PYTHON_VERSION");

/// Tells where things come from, and needs a module that is written in C, in whatever file that is.
const APPLICATION: &str = "
import hashlib, json, math, os, sys
import only_in_the_environment
FACTS = [sys.prefix, sys.executable, str(math.floor(2.5)), hashlib.md5(b'').hexdigest(), os.__file__]

def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [json.dumps(FACTS).encode()]
";

/// An environment below a directory, and another Python that it was made with, whose standard library is no good for
/// this one.
fn make(dir: &Path, packages: &str) -> PathBuf {
    let (base, environment) = (dir.join("base"), dir.join("environment"));
    let library = base.join(format!("lib/python{VERSION}"));
    let site = environment.join(format!("lib/python{VERSION}/site-packages"));
    for dir in [&base.join("bin"), &library.join("lib-dynload"), &environment.join("bin"), &site] {
        fs::create_dir_all(dir).expect("the temporary directory is writable");
    }
    let write = |file: PathBuf, text: &str| fs::write(file, text).expect("it is writable");
    write(library.join("os.py"), "raise ImportError('the standard library of another Python')\n");
    write(site.join("only_in_the_environment.py"), "");
    let python = base.join("bin/python3");
    write(python.clone(), &format!("#!/bin/sh\nexec {} \"$@\"\n", venv::python()));
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("it is ours");
    symlink(&python, environment.join("bin/python")).expect("the directory is writable");
    let home = base.join("bin");
    let said = format!("home = {}\n{packages}\nversion = {VERSION}.0\n", home.display());
    write(environment.join("pyvenv.cfg"), &said);
    environment
}

/// Its packages are used, and the standard library of libpython. If it relies on packages of its Python it is
/// refused.
fn made_with_another_build(kind: ServerKind) {
    let prepare = |named: bool| {
        let builder =
            Builder::new(kind).file("facts.py", APPLICATION).in_own_dir().app("facts:app");
        let environment = make(builder.dir(), "include-system-site-packages = false");
        let shown = environment.display().to_string();
        if named {
            (builder.args(["--venv", &shown]), shown)
        } else {
            (builder.env("VIRTUAL_ENV", &shown), shown)
        }
    };
    if is_wheel() {
        // It is in an interpreter already, which has found all that.
        let (builder, environment) = prepare(true);
        let outcome = builder.run();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        let sentence = format!("it cannot use --venv {environment}");
        assert!(outcome.stderr.contains(&sentence), "{}", outcome.stderr);
        return;
    }
    for named in [true, false] {
        let (builder, environment) = prepare(named);
        let server = builder.start();
        let body = server.get("/").text();
        let expected = format!(
            "[\"{environment}\", \"{environment}/bin/python\", \"2\", \"d41d8cd98f00b204e9800998ecf8427e\","
        );
        assert!(body.starts_with(&expected), "{body}");
        assert!(!body.contains("/base/"), "{body}");
    }

    let builder = Builder::new(kind).app("echo:app").without_bind();
    let environment = make(builder.dir(), "include-system-site-packages = true");
    let base = builder.dir().join("base/bin");
    let outcome = builder.env("VIRTUAL_ENV", &environment).run();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    let environment = environment.display();
    for part in [
        format!("the environment {environment} (from VIRTUAL_ENV)"),
        format!("in {}, but", base.display()),
        format!("bin/python{VERSION} -m venv`"),
        format!("PYO3_PYTHON={environment}/bin/python."),
    ] {
        assert!(outcome.stderr.contains(&part), "{part} in {}", outcome.stderr);
    }
}
