//! Loggers from elsewhere: a class, and formatters of an INI configuration.

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};

on_both_servers!(a_class_from_a_package, formatters_of_an_ini_file, a_class_that_is_changed);

fn a_class_from_a_package(kind: ServerKind) {
    // gunicorn-color writes access lines itself, from the atoms, and colours them on a terminal.
    let server = Builder::new(kind)
        .args(["--logger-class", "gunicorn_color.Logger", "--access-logfile", "-"])
        .args(["--access-logformat", "%(r)s %(s)s %(b)s %({x-nothing}i)s"])
        .app("factories")
        .start();
    server.get("/a");
    server.out.wait_for("GET /a HTTP/1.1 200 5 -\n");
}

fn a_class_that_is_changed(kind: ServerKind) {
    let conf = "from gunicorn import glogging\n\
                glogging.Logger.error_fmt = '<%(levelname)s> %(message)s'\n\
                glogging.Logger.now = lambda self: 'now'\n\
                accesslog = '-'\n\
                access_log_format = '%(t)s %(r)s'\n";
    let builder = Builder::new(kind).file("gunicorn.conf.py", conf).app("factories");
    let server = builder.spawn();
    server.log.wait_for("<INFO> Listening at: ");
    server.get("/");
    server.out.wait_for("now GET / HTTP/1.1\n");
}

/// As in the documentation of python-json-logger, with gunicorn's own loggers.
const INI: &str = "[loggers]\nkeys=root,error,access\n\
                   [handlers]\nkeys=console,file\n\
                   [formatters]\nkeys=json,plain\n\
                   [logger_root]\nlevel=INFO\nhandlers=console\n\
                   [logger_error]\nlevel=DEBUG\nhandlers=console\npropagate=0\nqualname=gunicorn.error\n\
                   [logger_access]\nlevel=INFO\nhandlers=file\npropagate=0\nqualname=gunicorn.access\n\
                   [handler_console]\nclass=StreamHandler\nformatter=json\nargs=(sys.stderr,)\n\
                   [handler_file]\nclass=logging.handlers.RotatingFileHandler\nformatter=plain\n\
                   args=('access.log', 'a', 100000, 2)\n\
                   [formatter_json]\nclass=pythonjsonlogger.json.JsonFormatter\n\
                   format=%(levelname)s %(name)s %(message)s\n\
                   [formatter_plain]\nformat=%(levelname)s|%(message)s\n";

fn formatters_of_an_ini_file(kind: ServerKind) {
    let app = "import logging\n\
               def app(environ, start_response):\n\
               \x20   logging.getLogger('shop').warning('sold %s', 5, extra={'price': 7})\n\
               \x20   start_response('200 OK', [('Content-Length', '2')])\n\
               \x20   return [b'ok']\n";
    let mut server = Builder::new(kind)
        .in_own_dir()
        .file("log.conf", INI)
        .file("shop.py", app)
        .args(["--log-config", "log.conf"])
        .app("shop:app")
        .spawn();
    server.log.wait_for(
        "{\"levelname\": \"INFO\", \"name\": \"gunicorn.error\", \"message\": \"Listening at: ",
    );
    assert_eq!(server.get("/a?b").text(), "ok");
    let line =
        "{\"levelname\": \"WARNING\", \"name\": \"shop\", \"message\": \"sold 5\", \"price\": 7}\n";
    server.log.wait_for(line);
    assert_eq!(server.stop(nix::sys::signal::Signal::SIGTERM), 0);
    let access = std::fs::read_to_string(server.dir().join("access.log")).expect("it was written");
    assert!(
        access.starts_with("INFO|127.0.0.1 - - [")
            && access.contains("] \"GET /a?b HTTP/1.1\" 200 2 \"-\""),
        "{access}"
    );
}
