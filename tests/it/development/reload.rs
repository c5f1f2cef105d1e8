//! `--reload`: edited code is served, broken code shows why, and nothing else gets in the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::load::Load;
use crate::harness::wait::poll;
use crate::harness::{BOUND, Builder, Server, ServerKind, until};

on_both_servers!(edited_code_is_served, a_syntax_error_shows_the_traceback_and_recovers);

on_rgunicorn!(
    any_import_error_shows_the_traceback_and_recovers,
    several_edits_give_one_reload,
    what_is_not_code_changes_nothing,
    named_files_are_watched,
    preloading_gives_way,
    reloads_lose_nothing
);

const APP: &str = "import part

def app(environ, start_response):
    start_response('200 OK', [])
    return [part.TEXT.encode()]
";

const RELOADING: &str = "[INFO] Worker reloading: ";

/// The engines that both servers have come first; gunicorn needs a package for the other.
const ENGINES: [&str; 2] = ["poll", "inotify"];

fn engines(kind: ServerKind) -> &'static [&'static str] {
    if kind.is_rgunicorn() { &ENGINES } else { &ENGINES[..1] }
}

fn part(text: &str) -> String {
    format!("TEXT = '{text}'\n")
}

fn builder(kind: ServerKind, engine: &str) -> Builder {
    let builder = Builder::new(kind).in_own_dir().app("edited:app");
    let builder = builder.args(["--reload", "--reload-engine", engine]);
    builder.file("edited.py", APP).file("part.py", &part("first"))
}

fn start(builder: Builder) -> Server {
    let server = builder.start();
    server.log.wait_for("[WARNING] Reloader is on. Use in development only!");
    until_served(&server, "first");
    server
}

/// Writes a file next to the application.
fn write(server: &Server, name: &str, text: &str) -> PathBuf {
    let path = server.dir().join(name);
    fs::write(&path, text).expect("the directory is writable");
    path
}

fn until_served(server: &Server, text: &str) {
    until(BOUND, text, || (server.get("/").text() == text).then_some(()));
}

fn until_page_has(server: &Server, text: &str) {
    let page = until(BOUND, text, || {
        let response = server.get("/");
        (response.status == 500 && response.text().contains(text)).then_some(response)
    });
    assert!(page.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert_eq!(page.reason, "Internal Server Error");
}

/// Writes a file that is watched, and waits for the reload.
fn edit(server: &Server, name: &str, text: &str) -> PathBuf {
    let count = reloads(server).len();
    // What is written before gunicorn has looked at the files once escapes it.
    let patience = if server.kind.is_rgunicorn() { BOUND } else { Duration::from_secs(3) };
    until(BOUND, "a reload", || {
        let path = write(server, name, text);
        poll(patience, || (reloads(server).len() > count).then_some(path.clone()))
    })
}

/// What was given as the reason for each reload so far.
fn reloads(server: &Server) -> Vec<String> {
    let log = server.log.text();
    let reasons = log.lines().filter_map(|line| line.split_once(RELOADING));
    reasons.map(|(_, reason)| reason.trim_end_matches(" modified").to_owned()).collect()
}

fn assert_reloads(server: &Server, paths: &[&Path]) {
    assert_eq!(
        reloads(server),
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    );
}

fn edited_code_is_served(kind: ServerKind) {
    const CONF: &str = "import os\ndef worker_int(worker):\n    \
        os.write(2, b'note: worker_int in %d\\n' % worker.pid)\n";
    for engine in engines(kind) {
        let mut server = start(builder(kind, engine).file("gunicorn.conf.py", CONF));
        let worker = server.wait_workers(1)[0];
        let path = edit(&server, "part.py", &part("second edition"));
        until_served(&server, "second edition");
        assert_reloads(&server, &[&path]);
        if kind.is_rgunicorn() {
            // In gunicorn the worker may be gone before its thread gets there.
            server.log.wait_for(&format!("note: worker_int in {worker}"));
        }
        server.log.wait_for(&format!("[INFO] Worker exiting (pid: {worker})"));
        assert_eq!(server.stop(nix::sys::signal::Signal::SIGTERM), 0);
        assert!(!server.log.wait_end(BOUND).contains("was sent"));
    }
}

fn a_syntax_error_shows_the_traceback_and_recovers(kind: ServerKind) {
    let server = start(builder(kind, "auto"));
    let path = edit(&server, "part.py", "def part(:\n");
    until_page_has(&server, "SyntaxError: invalid syntax");
    let page = server.get("/").text();
    assert!(page.starts_with("Traceback (most recent call last):\n"), "{page}");
    assert!(page.contains(&format!("File \"{}\", line 1", path.display())), "{page}");
    server.log.wait_for("[ERROR] invalid syntax (part.py, line 1)");
    server.log.wait_for("SyntaxError: invalid syntax");
    edit(&server, "part.py", &part("cured"));
    until_served(&server, "cured");
    // From the start.
    let server = builder(kind, "auto").file("part.py", "def part(:\n").start();
    until_page_has(&server, "SyntaxError: invalid syntax");
    edit(&server, "part.py", &part("cured"));
    until_served(&server, "cured");
}

/// gunicorn goes down with all of these.
fn any_import_error_shows_the_traceback_and_recovers(kind: ServerKind) {
    for engine in ENGINES {
        let server = start(builder(kind, engine));
        for (text, shown, file, cure) in [
            ("raise ValueError('\u{fc}ber')\n", "ValueError: \u{fc}ber", "part.py", "a"),
            ("import lacking\n", "No module named 'lacking'", "lacking.py", "b"),
            ("from lacking import more\n", "No module named 'more'", "more.py", "c"),
            ("import sys; sys.exit('no database')\n", "SystemExit: no database", "part.py", "d"),
        ] {
            // The third one fails inside of the module that cured the second.
            if file == "more.py" {
                write(&server, "lacking.py", "import more\n");
            }
            write(&server, "part.py", text);
            until_page_has(&server, shown);
            let path = server.dir().join(file);
            if file == "part.py" {
                write(&server, file, &part(cure));
            } else {
                fs::write(&path, "").expect("the directory is writable");
                until(BOUND, "another try", || {
                    (!server.get("/").text().contains(shown)).then_some(())
                });
                write(&server, "part.py", &part(cure));
            }
            until_served(&server, cure);
        }
        // The application itself.
        write(&server, "edited.py", "import part\n");
        until_page_has(&server, "Failed to find attribute 'app' in 'edited'.");
        write(&server, "edited.py", APP);
        until_served(&server, "d");
    }
}

fn several_edits_give_one_reload(kind: ServerKind) {
    for engine in ENGINES {
        let names = ["a", "b", "c", "d", "e"];
        let mut builder = builder(kind, engine);
        for name in names {
            builder = builder.file(&format!("{name}.py"), "TEXT = ''\n");
        }
        let imports = "from part import TEXT\nimport a, b, c, d, e\n\
            for module in (a, b, c, d, e): TEXT += module.TEXT\n";
        let app = APP.replace("import part\n", imports).replace("part.TEXT", "TEXT");
        let server = start(builder.file("edited.py", &app));
        let new = names.map(|name| (write(&server, &format!("{name}.new"), &part(name)), name));
        for (file, name) in new {
            let path = server.dir().join(format!("{name}.py"));
            fs::rename(file, path).expect("the file can be moved");
        }
        until_served(&server, "firstabcde");
        // A reload that was still to come would come before this one.
        let path = write(&server, "part.py", &part("second"));
        until_served(&server, "secondabcde");
        let reloads = reloads(&server);
        assert_eq!(reloads.len(), 2, "{reloads:?}");
        assert_eq!(reloads[1], path.display().to_string());
    }
}

fn what_is_not_code_changes_nothing(kind: ServerKind) {
    for engine in ENGINES {
        let server = start(builder(kind, engine));
        let path = server.dir().join("part.py");
        write(&server, "notes.txt", "x");
        write(&server, "unused.py", "x");
        write(&server, "data.sqlite", "x");
        fs::create_dir(server.dir().join("__pycache__")).expect("the directory is writable");
        write(&server, "__pycache__/part.cpython-311.pyc", "x");
        // Read, and moved away and back.
        fs::read(&path).expect("the file is readable");
        fs::rename(&path, server.dir().join("part.py~")).expect("the file can be moved");
        fs::rename(server.dir().join("part.py~"), &path).expect("the file can be moved");
        // As many editors write.
        let new = write(&server, ".part.py.tmp", &part("second"));
        fs::rename(new, &path).expect("the file can be moved");
        until_served(&server, "second");
        assert_reloads(&server, &[&path]);
    }
}

fn named_files_are_watched(kind: ServerKind) {
    for engine in ENGINES {
        let builder = builder(kind, engine);
        fs::create_dir_all(builder.dir().join("pages/deep")).expect("the directory is writable");
        let server = start(
            builder
                .file("settings.toml", "x")
                .file("pages/one.html", "x")
                .args(["--reload-extra-file", "settings.toml"])
                .args(["--reload-extra-file", "pages/**/*.html"]),
        );
        let mut written: Vec<PathBuf> = Vec::new();
        for name in ["settings.toml", "pages/one.html", "pages/deep/new.html", "pages/one.html"] {
            let worker = server.wait_workers(1)[0];
            // Not a page.
            write(&server, "pages/deep/notes.txt", name);
            written.push(write(&server, name, &format!("changed after {}", written.len())));
            server.log.wait_for_count(RELOADING, written.len());
            server.log.wait_for(&format!("Worker exiting (pid: {worker})"));
            until_served(&server, "first");
        }
        assert_reloads(&server, &written.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    }
}

fn preloading_gives_way(kind: ServerKind) {
    let server = start(builder(kind, "auto").args(["--preload"]));
    server.log.wait_for("preload_app has no effect while reload is on");
    write(&server, "part.py", &part("second"));
    until_served(&server, "second");
}

fn reloads_lose_nothing(kind: ServerKind) {
    let server = start(builder(kind, "auto"));
    let load = Load::start(server.addr, 16);
    for round in 1..=5 {
        load.wait_more(50);
        let text = "x".repeat(round);
        write(&server, "part.py", &part(&text));
        until_served(&server, &text);
    }
    load.wait_more(50);
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}
