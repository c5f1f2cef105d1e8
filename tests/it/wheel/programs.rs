//! Programs that start a server by themselves, with gunicorn's classes: both servers run the same ones.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::install::environment;
use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind, process, venv};

on_both_servers!(an_application_of_its_own, a_command_line_of_its_own, what_is_wrong_is_said);

/// The usual lines of those who start gunicorn from their own code.
const STANDALONE: &str = "
import os, sys
import gunicorn.app.base

class Standalone(gunicorn.app.base.BaseApplication):
    def __init__(self, application, options):
        self.options, self.application = options, application
        super().__init__()

    def load_config(self):
        for name, value in self.options.items():
            if name in self.cfg.settings and value is not None:
                self.cfg.set(name.lower(), value)
        if os.path.exists('workers'):
            self.cfg.set('workers', int(open('workers').read()))

    def load(self):
        return self.application

def post_fork(server, worker):
    print('note: forked for', type(server.app).__name__, worker.cfg.proc_name, file=sys.stderr, flush=True)

def app(environ, start_response):
    body = repr((sys.argv, environ['wsgi.multiprocess'])).encode()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]

if __name__ == '__main__':
    options = {'workers': 2, 'post_fork': post_fork, 'nonsense': 1, 'accesslog': None}
    Standalone(app, options).run()
    print('not reached')
";

/// A subclass of the application that has a command line.
const COMMAND: &str = "
import sys
from gunicorn.app.wsgiapp import WSGIApplication

class Command(WSGIApplication):
    def init(self, parser, opts, args):
        super().init(parser, opts, args)
        return {'proc_name': 'own', 'workers': 3, 'timeout': 77}

    def load_config(self):
        super().load_config()
        self.cfg.set('keepalive', 7)
        shown = [self.cfg.settings[name].value
                 for name in ('workers', 'timeout', 'keepalive', 'threads', 'graceful_timeout')]
        print('note:', shown, self.app_uri, file=sys.stderr, flush=True)

sys.argv[1:] = sys.argv[1:] or ['app:app', '--workers', '1']
Command('%(prog)s [OPTIONS] [APP]', prog='own').run()
";

const APP: &str = "
def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

fn python(kind: ServerKind) -> PathBuf {
    match kind {
        ServerKind::Rgunicorn => environment().join("bin/python"),
        ServerKind::Gunicorn => venv::program("python"),
    }
}

/// A script, run by the Python that has rgunicorn in gunicorn's place, or gunicorn.
fn script(kind: ServerKind, text: &str, args: &[&str]) -> Builder {
    let provided = match kind {
        // What rgunicorn-as-gunicorn does when Python starts.
        ServerKind::Rgunicorn => "import rgunicorn._rgunicorn as own; own.provide_gunicorn()\n",
        ServerKind::Gunicorn => "",
    };
    Builder::new(kind)
        .program(vec![python(kind).into()])
        .in_own_dir()
        .file("own.py", &format!("{provided}{text}"))
        .args(["own.py"])
        .args(args)
}

fn an_application_of_its_own(kind: ServerKind) {
    let mut server = script(kind, STANDALONE, &["more"]).start();
    server.log.wait_for_count("note: forked for Standalone gunicorn", 2);
    assert_eq!(server.get("/").text(), "(['own.py', 'more'], True)");
    if kind.is_rgunicorn() {
        assert_eq!(process::title(server.pid()), "gunicorn: master [gunicorn]");
    }
    // The program decides anew.
    std::fs::write(server.dir().join("workers"), "1").expect("the directory is writable");
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, "note: forked for Standalone");
    server.wait_workers(1);
    assert_eq!(server.get("/").text(), "(['own.py', 'more'], False)");
    if kind.is_rgunicorn() {
        // gunicorn does not pass sockets of socket activation on.
        let mark = server.log.mark();
        server.signal(Signal::SIGUSR2);
        server.log.wait_for_since(mark, "Listening at: ");
        server.log.wait_for_since(mark, "note: forked for Standalone");
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        assert_eq!(server.get("/").text(), "(['own.py', 'more'], False)");
    } else {
        assert_eq!(server.stop(Signal::SIGTERM), 0);
    }
    assert_eq!(server.out.text(), "");
}

fn a_command_line_of_its_own(kind: ServerKind) {
    let mut server = script(kind, COMMAND, &[])
        .file("app.py", APP)
        .file("gunicorn.conf.py", "threads = 2\nworkers = 4\n")
        .env("GUNICORN_CMD_ARGS", "--graceful-timeout 9")
        .start();
    let line = server.log.wait_for("note: ");
    assert_eq!(line, "note: [1, 77, 7, 2, 9] app:app");
    assert_eq!(server.get("/").text(), "ok");
    if kind.is_rgunicorn() {
        assert_eq!(process::title(server.pid()), "gunicorn: master [own]");
    }
    assert_eq!(server.stop(Signal::SIGTERM), 0);

    let outcome = script(kind, COMMAND, &["--nonsense"]).without_bind().run();
    assert_eq!(outcome.status, Some(2), "{}", outcome.stderr);
    let outcome = script(kind, COMMAND, &["-w", "1"]).without_bind().run();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("Error: No application module specified."));
}

fn what_is_wrong_is_said(kind: ServerKind) {
    let wrong = STANDALONE.replace("'workers': 2", "'workers': 'two'");
    let outcome = script(kind, &wrong, &[]).without_bind().run();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("\nError: invalid literal for int()"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

/// A module that starts a server when it is imported as the application.
#[test]
fn no_server_starts_within_another() {
    let text = format!("{STANDALONE}\nStandalone(app, {{}}).run()\n");
    let outcome = super::builder(environment(), &["rgunicorn"])
        .file("app.py", &text)
        .binding("127.0.0.1:0")
        .app("app:app")
        .run();
    assert_eq!(outcome.status, Some(3), "{}", outcome.stderr);
    let said = "no server can be started in the process of another one";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}
