//! The command, `python -m rgunicorn`, and what is particular about running in somebody else's
//! interpreter.

use std::process::Command;

use nix::sys::signal::Signal;

use super::builder;
use super::install::environment;
use crate::harness::{BOUND, process, until};

const APP: &str = "
import os, sys, threading

def app(environ, start_response):
    names = sorted(thread.name for thread in threading.enumerate())
    start_response('200 OK', [('X-Pid', str(os.getppid()))])
    return [repr((sys.executable, sys.argv[1:], names)).encode()]
";

/// Both ways to start it, and an upgrade of each.
#[test]
fn it_runs_in_the_interpreter_that_it_is_installed_for() {
    for words in [&["rgunicorn"][..], &["python", "-W", "ignore", "-m", "rgunicorn"]] {
        let mut server = builder(environment(), words).file("app.py", APP).app("app:app").start();
        let python = environment().join("bin/python");
        let expected = format!("('{}', ['app:app'], ['MainThread'])", python.display());
        let response = server.get("/");
        assert_eq!(response.text(), expected, "{words:?}");
        assert_eq!(process::title(server.pid()), "gunicorn: master [app:app]");
        assert_eq!(process::title(server.workers()[0]), "gunicorn: worker [app:app]");

        let mark = server.log.mark();
        server.signal(Signal::SIGUSR2);
        let line = server.log.wait_for_since(mark, "Listening at: ");
        let (_, pid) = line.rsplit_once('(').expect("a process id");
        server.log.wait_for_since(mark, "Booting worker");
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        server.log.wait_for("Master has been promoted.");
        let response = server.get("/");
        assert_eq!(response.header("X-Pid"), Some(pid.trim_end_matches(')')));
        assert_eq!(response.text(), expected, "{words:?} after an upgrade");
        let pid = pid.trim_end_matches(')').parse().expect("a process id");
        process::signal(pid, Signal::SIGTERM);
        until(BOUND, "the end", || (!process::is_alive(pid)).then_some(()));
        server.assert_nothing_left();
    }
}

/// As monitoring agents start them.
#[test]
fn threads_may_be_there_before_it_starts() {
    let site = "import threading, time\n\
                threading.Thread(target=time.sleep, args=(600,), daemon=True, name='early').start()\n";
    let builder = builder(environment(), &["rgunicorn"])
        .file("app.py", APP)
        .file("sitecustomize.py", site)
        .app("app:app");
    let dir = builder.dir().to_owned();
    let mut server = builder.env("PYTHONPATH", dir).start();
    // The thread is in the master; a fork takes only its own along.
    assert!(server.get("/").text().ends_with("['MainThread'])"));
    assert_eq!(process::title(server.pid()), "gunicorn: master [app:app]");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

/// Free-threaded Pythons are rare, so one is made of another by what it says.
#[test]
fn it_refuses_to_run_without_the_interpreters_lock() {
    for (enabled, status) in [("True", 0), ("False", 1)] {
        let site = format!("import sys\nsys._is_gil_enabled = lambda: {enabled}\n");
        let builder = builder(environment(), &["rgunicorn"])
            .file("app.py", APP)
            .file("sitecustomize.py", &site)
            .app("app:app")
            .args(["--check-config"]);
        let dir = builder.dir().to_owned();
        let outcome = builder.env("PYTHONPATH", dir).run();
        assert_eq!(outcome.status, Some(status), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.contains("start it without PYTHON_GIL=0"), status == 1);
    }
}

/// As by Airflow, when it runs in the background: nothing of the server's takes their place.
#[test]
fn standard_input_may_be_closed() {
    let builder = builder(environment(), &["rgunicorn"]);
    let closing = builder.first("set -- sh -c 'exec \"$@\" <&-' sh \"$@\"");
    let mut server = closing.file("app.py", APP).app("app:app").start();
    assert_eq!(server.get("/").status, 200);
    for pid in [server.pid(), server.workers()[0]] {
        assert_eq!(process::descriptor(pid, 0), "/dev/null");
    }
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

#[test]
fn its_exit_statuses_are_those_of_the_process() {
    let run = |args: &[&str]| {
        builder(environment(), &["rgunicorn"]).file("app.py", APP).without_bind().args(args).run()
    };
    let version = concat!("rgunicorn (version ", env!("CARGO_PKG_VERSION"), ")\n");
    for (args, status, stdout, stderr) in [
        (&["--version"][..], 0, version, ""),
        (&["--nonsense"], 2, "", "unrecognized arguments: --nonsense"),
        (&[], 1, "", "Error: No application module specified."),
        (&["app:app", "--check-config"], 0, "", ""),
        (
            &["app:nothing", "-b", "127.0.0.1:0"],
            4,
            "",
            "Failed to find attribute 'nothing' in 'app'.",
        ),
        (&["nothing", "-b", "127.0.0.1:0"], 3, "", "No module named 'nothing'"),
        (&["app:app", "--venv", "/nonexistent"], 1, "", "it cannot use --venv /nonexistent."),
    ] {
        let outcome = run(args);
        assert_eq!(outcome.status, Some(status), "{args:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, stdout, "{args:?}");
        assert!(outcome.stderr.contains(stderr), "{args:?}: {}", outcome.stderr);
    }
    let own = environment().to_str().expect("a path in UTF-8");
    assert_eq!(run(&["app:app", "--check-config", "--venv", own]).status, Some(0));
}

/// As it happens to those who install it as a tool: by pipx, or `uv tool`.
#[test]
fn it_says_which_environment_lacks_a_package() {
    let builder = builder(environment(), &["rgunicorn"]).without_bind();
    let builder =
        builder.file("app.py", "import no_such_package\n").env("VIRTUAL_ENV", "/srv/venv");
    let outcome = builder.app("app:app").args(["--check-config"]).run();
    let expected = format!(
        " or the environment {}; the active one is /srv/venv: install rgunicorn there\n",
        environment().display()
    );
    assert!(
        outcome.stderr.contains("\nModuleNotFoundError: No module named 'no_such_package' in ")
    );
    assert!(outcome.stderr.ends_with(&expected), "{}", outcome.stderr);
}

#[test]
fn tools_find_what_they_ask_for() {
    let code = "
import importlib.metadata, importlib.resources, rgunicorn, threading
assert importlib.metadata.version('rgunicorn') == rgunicorn.__version__, rgunicorn.__version__
assert importlib.metadata.metadata('rgunicorn')['Requires-Python'] == '>=3.9'
assert importlib.resources.files('rgunicorn').joinpath('py.typed').is_file()
found = []
thread = threading.Thread(target=lambda: found.append(rgunicorn.main(['app:app'])))
thread.start()
thread.join()
assert found == [1], found
";
    let output = Command::new(environment().join("bin/python")).args(["-c", code]).output();
    let output = output.expect("there is a python");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("has to be started in the main thread"), "{text}");
}
