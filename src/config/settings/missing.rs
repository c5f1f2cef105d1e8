//! gunicorn's settings that rgunicorn does not have yet: known by name so that they are refused with
//! a sentence, never ignored.

use crate::config::setting::Shape;
use crate::config::value::Value;

/// A setting of gunicorn without a counterpart.
pub struct Missing {
    pub name: &'static str,
    pub flags: &'static [&'static str],
    /// How gunicorn takes it on the command line.
    pub shape: Shape,
    /// Values that change nothing, as Python's `str()` writes them: gunicorn's default, and what
    /// rgunicorn does anyway.
    harmless: &'static [&'static str],
}

impl Missing {
    /// Whether setting this value asks for nothing that rgunicorn would not do.
    pub fn is_harmless(&self, value: &Value) -> bool {
        self.harmless.contains(&value.text().as_str())
    }
}

const fn row(
    name: &'static str,
    flags: &'static [&'static str],
    shape: Shape,
    harmless: &'static [&'static str],
) -> Missing {
    Missing { name, flags, shape, harmless }
}

/// The row of a missing setting.
pub fn find(name: &str) -> Option<&'static Missing> {
    MISSING.iter().find(|missing| missing.name == name)
}

/// All of them, in the order of gunicorn's sections.
pub static MISSING: &[Missing] = &[
    // Worker Processes
    row("asgi_loop", &["--asgi-loop"], Shape::One, &["auto", "None"]),
    row("asgi_lifespan", &["--asgi-lifespan"], Shape::One, &["auto", "None"]),
    row("asgi_disconnect_grace_period", &["--asgi-disconnect-grace-period"], Shape::One, &["3"]),
    row("websocket_max_message_size", &["--websocket-max-message-size"], Shape::One, &["16777216"]),
    row("http_parser", &["--http-parser"], Shape::One, &["auto", "None"]),
    // Debugging
    row("reload", &["--reload"], Shape::Switch(true), &["False", "None"]),
    row("reload_engine", &["--reload-engine"], Shape::One, &["auto"]),
    row("reload_extra_files", &["--reload-extra-file"], Shape::Many, &["[]", "None"]),
    row("spew", &["--spew"], Shape::Switch(true), &["False", "None"]),
    // Server Mechanics
    row("reuse_port", &["--reuse-port"], Shape::Switch(true), &["False", "None"]),
    row("daemon", &["-D", "--daemon"], Shape::Switch(true), &["False", "None"]),
    row("user", &["-u", "--user"], Shape::One, &["None"]),
    row("group", &["-g", "--group"], Shape::One, &["None"]),
    row("umask", &["-m", "--umask"], Shape::One, &["0"]),
    row("initgroups", &["--initgroups"], Shape::Switch(true), &["False", "None"]),
    row("paste", &["--paste", "--paster"], Shape::One, &["None"]),
    row("protocol", &["--protocol"], Shape::One, &["http"]),
    row("uwsgi_allow_ips", &["--uwsgi-allow-from"], Shape::One, &["127.0.0.1,::1"]),
    row("raw_paste_global_conf", &["--paste-global"], Shape::Many, &["[]", "None"]),
    row("root_path", &["--root-path"], Shape::One, &[""]),
    // Logging
    row(
        "disable_redirect_access_to_syslog",
        &["--disable-redirect-access-to-syslog"],
        Shape::Switch(true),
        &["False", "None"],
    ),
    row("logger_class", &["--logger-class"], Shape::One, &["gunicorn.glogging.Logger"]),
    row("logconfig", &["--log-config"], Shape::One, &["None"]),
    row("logconfig_dict", &[], Shape::None, &["{}"]),
    row("logconfig_json", &["--log-config-json"], Shape::One, &["None"]),
    row("syslog_addr", &["--log-syslog-to"], Shape::One, &["udp://localhost:514"]),
    row("syslog", &["--log-syslog"], Shape::Switch(true), &["False", "None"]),
    row("syslog_prefix", &["--log-syslog-prefix"], Shape::One, &["None"]),
    row("syslog_facility", &["--log-syslog-facility"], Shape::One, &["user"]),
    row(
        "enable_stdio_inheritance",
        &["-R", "--enable-stdio-inheritance"],
        Shape::Switch(true),
        &["False", "None"],
    ),
    row("statsd_host", &["--statsd-host"], Shape::One, &["None"]),
    row("dogstatsd_tags", &["--dogstatsd-tags"], Shape::One, &[""]),
    row("statsd_prefix", &["--statsd-prefix"], Shape::One, &[""]),
    row(
        "enable_backlog_metric",
        &["--enable-backlog-metric"],
        Shape::Switch(true),
        &["False", "None"],
    ),
    // Server Hooks
    row("on_starting", &[], Shape::None, &[]),
    row("on_reload", &[], Shape::None, &[]),
    row("when_ready", &[], Shape::None, &[]),
    row("pre_fork", &[], Shape::None, &[]),
    row("post_fork", &[], Shape::None, &[]),
    row("post_worker_init", &[], Shape::None, &[]),
    row("worker_int", &[], Shape::None, &[]),
    row("worker_abort", &[], Shape::None, &[]),
    row("pre_exec", &[], Shape::None, &[]),
    row("pre_request", &[], Shape::None, &[]),
    row("post_request", &[], Shape::None, &[]),
    row("child_exit", &[], Shape::None, &[]),
    row("worker_exit", &[], Shape::None, &[]),
    row("nworkers_changed", &[], Shape::None, &[]),
    row("on_exit", &[], Shape::None, &[]),
    row("ssl_context", &[], Shape::None, &[]),
    // SSL
    row("keyfile", &["--keyfile"], Shape::One, &["None"]),
    row("certfile", &["--certfile"], Shape::One, &["None"]),
    row("ssl_version", &["--ssl-version"], Shape::One, &["2"]),
    row("cert_reqs", &["--cert-reqs"], Shape::One, &["0"]),
    row("ca_certs", &["--ca-certs"], Shape::One, &["None"]),
    row(
        "suppress_ragged_eofs",
        &["--suppress-ragged-eofs"],
        Shape::Switch(true),
        &["True", "None"],
    ),
    row(
        "do_handshake_on_connect",
        &["--do-handshake-on-connect"],
        Shape::Switch(true),
        &["False", "None"],
    ),
    row("ciphers", &["--ciphers"], Shape::One, &["None"]),
    // HTTP/2
    row("http_protocols", &["--http-protocols"], Shape::One, &["h1", "None"]),
    row("http2_cleartext", &["--http2-cleartext"], Shape::One, &["off", "False", "None"]),
    row("http2_max_concurrent_streams", &["--http2-max-concurrent-streams"], Shape::One, &["100"]),
    row("http2_initial_window_size", &["--http2-initial-window-size"], Shape::One, &["65535"]),
    row("http2_max_frame_size", &["--http2-max-frame-size"], Shape::One, &["16384"]),
    row("http2_max_header_list_size", &["--http2-max-header-list-size"], Shape::One, &["65536"]),
    // Dirty Arbiters
    row("dirty_apps", &["--dirty-app"], Shape::Many, &["[]", "None"]),
    row("dirty_workers", &["--dirty-workers"], Shape::One, &["0"]),
    row("dirty_timeout", &["--dirty-timeout"], Shape::One, &["300"]),
    row("dirty_threads", &["--dirty-threads"], Shape::One, &["1"]),
    row("dirty_graceful_timeout", &["--dirty-graceful-timeout"], Shape::One, &["30"]),
    // Dirty Arbiter Hooks
    row("on_dirty_starting", &[], Shape::None, &[]),
    row("dirty_post_fork", &[], Shape::None, &[]),
    row("dirty_worker_init", &[], Shape::None, &[]),
    row("dirty_worker_exit", &[], Shape::None, &[]),
    // Control
    row("control_socket", &["--control-socket"], Shape::One, &[]),
    row("control_socket_mode", &["--control-socket-mode"], Shape::One, &["384"]),
    row(
        "control_socket_disable",
        &["--no-control-socket"],
        Shape::Switch(true),
        &["True", "False", "None"],
    ),
];
