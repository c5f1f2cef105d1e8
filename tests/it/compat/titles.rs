//! Hooks and applications that set titles with the package setproctitle. Tools look for what these show.

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind, process};

on_both_servers!(titles_set_by_others);

const CONF: &str = "
proc_name = 'own'
def post_worker_init(worker):
    import setproctitle
    setproctitle.setproctitle('[ready] ' + setproctitle.getproctitle())
";

const APP: &str = "
import setproctitle
def app(environ, start_response):
    start_response('200 OK', [])
    facts = (setproctitle.getproctitle(), setproctitle.getthreadtitle(),
             setproctitle.setproctitle.__name__, type(setproctitle.__loader__).__name__)
    setproctitle.setproctitle(title='served' + ' one' * 100)
    return [repr(facts).encode()]
";

/// Imported by the server's processes, or by something in the environment before any of them runs.
fn titles_set_by_others(kind: ServerKind) {
    for early in ["", "import setproctitle\n"] {
        let builder = Builder::new(kind)
            .in_own_dir()
            .file("sitecustomize.py", early)
            .file("gunicorn.conf.py", CONF)
            .file("app.py", APP)
            .app("app:app");
        let dir = builder.dir().to_owned();
        // An ordinary user's processes have room for titles where the environment was.
        let mut server = builder.env("PYTHONPATH", dir).env("ROOM", "x".repeat(1000)).start();
        let facts = "('[ready] gunicorn: worker [own]', '[ready] gunicor', 'setproctitle', 'SourceFileLoader')";
        assert_eq!(server.get("/").text(), facts, "{early:?}");
        let title = format!("served{}", " one".repeat(100));
        assert_eq!(process::title(server.workers()[0]), title, "{early:?}");
        assert_eq!(server.stop(Signal::SIGTERM), 0);
    }
}
