//! What is tried with each of gunicorn's settings.

/// A setting, the flag it is tried with, and the values.
pub struct Row {
    pub name: &'static str,
    /// The last of its flags; empty if it has none.
    pub flag: &'static str,
    pub values: &'static Values,
}

/// Values on the command line, and expressions of Python in a conf file. `|` divides the values of a
/// flag that is repeated.
pub struct Values {
    pub good_flags: &'static [&'static str],
    pub bad_flags: &'static [&'static str],
    pub good: &'static [&'static str],
    pub bad: &'static [&'static str],
    /// The flag takes no value.
    pub switch: bool,
}

const fn row(name: &'static str, flag: &'static str, values: &'static Values) -> Row {
    Row { name, flag, values }
}

const NONE: Values = Values { good_flags: &[], bad_flags: &[], good: &[], bad: &[], switch: false };

const COUNT: Values = Values {
    good_flags: &["7", "0", "1_0", " 8 ", "+09"],
    bad_flags: &["x", "-1", "0x10", "1.5", ""],
    good: &["7", "'0x1F'", "True", "' 0b11 '", "'1_0'"],
    bad: &["-1", "'-1'", "None", "1.5", "'x'", "'010'", "[1]", "''"],
    ..NONE
};

const BITS: Values = Values {
    good_flags: &["18", "022", "0o22", "0x12", "0b11"],
    bad_flags: &["x", "-1", "09", "1.5", ""],
    ..COUNT
};

const CODE: Values = Values {
    good_flags: &["0", "2", "0x1"],
    bad_flags: &["x", "-1", "010"],
    good: &["0", "1", "'2'"],
    bad: &["None", "-1", "'x'"],
    ..NONE
};

const TEXT: Values = Values {
    good_flags: &["text", "  pad ded  ", "", "-", "-x y"],
    bad_flags: &[],
    good: &["'text'", "'  pad ded\\n '", "None", "''", "'\\u00e9\\t\\'\\\\'"],
    bad: &["3", "['a']", "b'x'", "True", "{}"],
    ..NONE
};

const NAME: Values =
    Values { good: &["'text'", "'  pad ded\\n '", "''"], bad: &["3", "['a']", "b'x'"], ..TEXT };

const CONFIG: Values = Values { good_flags: &[], ..TEXT };

const DIRECTORY: Values = Values {
    good_flags: &["/tmp", " . ", ""],
    bad_flags: &[],
    good: &["'/tmp'", "None", "''"],
    bad: &["3", "['/tmp']"],
    ..NONE
};

const SWITCH: Values = Values {
    good_flags: &[""],
    bad_flags: &["=1", "="],
    good: &["True", "False", "'true'", "' FALSE '"],
    bad: &["'yes'", "1", "0", "'1'", "[]", "''"],
    switch: true,
};

const TEXTS: Values = Values {
    good_flags: &["A=1", "A=1| B=2 |C=3", ""],
    bad_flags: &[],
    good: &["['a', ' b ']", "'a'", "('a',)", "[]", "None", "{'x': 1}", "(c for c in 'ab')"],
    bad: &["3", "[1]", "['a', b'b']", "True"],
    ..NONE
};

const FILES: Values = Values {
    good_flags: &["extra.ini", "extra.ini|./extra.ini"],
    bad_flags: &["missing.ini", "extra.ini|missing.ini"],
    good: &["['extra.ini']", "'extra.ini'", "None"],
    bad: &["'missing.ini'", "['extra.ini', 'missing.ini']", "3"],
    ..NONE
};

const NETWORKS: Values = Values {
    good_flags: &["10.0.0.1", "*", " 10.0.0.0/8, ::1,", ""],
    bad_flags: &[
        "x",
        "10.0.0.1/8",
        "1.2.3.4/33",
        "1.2.3.4,,y",
        "1.2.3.4/255.0.0.0",
        "2001:DB8::1/64",
    ],
    good: &["'*'", "''", "None", "'fe80::/10'", "', '"],
    bad: &["['*']", "'x'", "3"],
    ..NONE
};

const COMMAS: Values = Values {
    good_flags: &["A,B", "*", " A , B ,", ""],
    bad_flags: &[],
    good: &["'A'", "''", "None", "'A,,B'"],
    bad: &["['A']", "3"],
    ..NONE
};

const DICT: Values = Values {
    good: &[
        "{}",
        "{'version': 1, 'root': {'level': 'INFO', 'handlers': ['console']}, 'x': (1, None)}",
    ],
    bad: &["[]", "None", "'x'", "3"],
    ..NONE
};

const PAIRS: Values =
    Values { good: &["{}", "{'X-B': 'b', 'X-A': \"it's\"}"], bad: &["[]", "None", "'x'"], ..NONE };

const CLASS: Values = Values {
    good_flags: &["simple", " a.B "],
    bad_flags: &[],
    good: &["'simple'", "' a.B '", "Thing", "lambda: Thing", "lambda: 'a.B'", "Thing(1).method0"],
    bad: &["3", "['a.B']", "lambda: 3", "lambda: 1/0", "helper1"],
    ..NONE
};

const WORKER_CLASS: Values = Values {
    good_flags: &["sync", "gthread", " gunicorn.workers.sync.SyncWorker ", "#gthread"],
    bad_flags: &[],
    good: &["'gthread'", "lambda: 'sync'", "'gunicorn.workers.gthread.ThreadWorker'"],
    bad: &["3", "['a.B']", "lambda: 3", "lambda: 1/0"],
    ..NONE
};

const HOOK1: Values = Values {
    good: &["helper1", "lambda a: 0", "Thing(1).method1", "Thing", "'posixpath.normcase'"],
    bad: &[
        "3",
        "None",
        "helper2",
        "lambda *a, **k: 0",
        "'nodots'",
        "'os.nothing_here'",
        "'rg_nowhere.f'",
        "''",
    ],
    ..NONE
};

const HOOK2: Values = Values {
    good: &["helper2", "lambda a, b=1, *c, d, **e: 0", "'posixpath.relpath'"],
    bad: &["helper1", "helper3", "3", "'.x'"],
    ..NONE
};

const HOOK3: Values = Values {
    good: &["helper3", "lambda a, b, c: 0"],
    bad: &["helper2", "'x'", "[helper3]"],
    ..NONE
};

const POST_REQUEST: Values = Values {
    good: &["helper2", "helper3", "helper4", "'posixpath.relpath'"],
    bad: &["helper1", "lambda a, b, c, d, e: 0", "'x'", "None"],
    ..NONE
};

const USER: Values = Values {
    good_flags: &["root", "0", "0033"],
    bad_flags: &["no-such-name", "", "-1", " root"],
    good: &["'root'", "0", "None", "'12'", "12"],
    bad: &["'no-such-name'", "1.5", "[]"],
    ..NONE
};

const CHDIR: Values = Values {
    good_flags: &["/", ".", " ./ ", "../..//"],
    bad_flags: &["/nowhere", "no such"],
    good: &["'/'", "'.'", "''"],
    bad: &["'/nowhere'", "3", "[]", "'it\\'s'"],
    ..NONE
};

const RELOAD_ENGINE: Values = Values {
    good_flags: &["auto", "poll"],
    bad_flags: &["Auto", "x", " poll"],
    good: &["'auto'", "'poll'"],
    bad: &["None", "'x'", "3"],
    ..NONE
};

const STATSD: Values = Values {
    good_flags: &["LocalHost", "a:1", "[::1]:9", "unix:///run/s", "unix:123"],
    bad_flags: &["a:b", "a:"],
    good: &["'h:8'", "None", "' unix:s '"],
    bad: &["3", "'a:b'"],
    ..NONE
};

const PROXY_PROTOCOL: Values = Values {
    good_flags: &["", "v1", " V2 ", "0"],
    bad_flags: &["v3", "app:app"],
    good: &["True", "False", "None", "'Auto'", "'none'"],
    bad: &["1", "'v3'", "['v1']"],
    ..NONE
};

const SSL_VERSION: Values = Values {
    good_flags: &["2", "x"],
    bad_flags: &[],
    good: &["2", "3", "'TLS'", "None"],
    bad: &[],
    ..NONE
};

const PROTOCOLS: Values = Values {
    good_flags: &["h1", "", " H1 ,"],
    bad_flags: &["h3", "h1,h1", "h2,h1,h2,x"],
    good: &["'h1'", "None", "' , '"],
    bad: &["['h1']", "'http'", "3"],
    ..NONE
};

const CLEARTEXT: Values = Values {
    good_flags: &["off", " BOTH ", "upgrade"],
    bad_flags: &["on", ""],
    good: &["True", "False", "None", "'prior-knowledge'"],
    bad: &["1", "'x'", "[]"],
    ..NONE
};

const STREAMS: Values = Values {
    bad_flags: &["0", "-1", "x"],
    good_flags: &["1", "7"],
    good: &["7", "'0x10'"],
    bad: &["0", "None"],
    ..NONE
};

const WINDOW_SIZE: Values = Values {
    good_flags: &["0", "2147483647"],
    bad_flags: &["2147483648", "99999999999", "-1", "x"],
    good: &["7"],
    bad: &["2**31", "None"],
    ..NONE
};

const FRAME_SIZE: Values = Values {
    good_flags: &["16384", "16777215"],
    bad_flags: &["16383", "16777216", "-1", "x"],
    good: &["'0x4000'"],
    bad: &["0", "None", "'x'", "False"],
    ..NONE
};

const HEADER_MAP: Values = Values {
    good_flags: &["drop", " REFUSE", "Dangerous"],
    bad_flags: &["x", ""],
    good: &["'drop'", "'refuse '"],
    bad: &["'x'", "3", "True"],
    ..NONE
};

const ASGI_LOOP: Values = Values {
    good_flags: &["auto", " UvLoop", "asyncio"],
    bad_flags: &["x", ""],
    good: &["None", "'auto'"],
    bad: &["' X '", "3", "True"],
    ..NONE
};

const ASGI_LIFESPAN: Values = Values { good_flags: &["auto", "On ", "off"], ..ASGI_LOOP };

const HTTP_PARSER: Values = Values { good_flags: &["auto", "Fast ", "python"], ..ASGI_LOOP };

/// All of gunicorn 27, in its own order.
pub const TABLE: [Row; 120] = [
    row("config", "--config", &CONFIG),
    row("wsgi_app", "", &TEXT),
    row("bind", "--bind", &TEXTS),
    row("backlog", "--backlog", &COUNT),
    row("workers", "--workers", &COUNT),
    row("worker_class", "--worker-class", &WORKER_CLASS),
    row("threads", "--threads", &COUNT),
    row("worker_connections", "--worker-connections", &COUNT),
    row("max_requests", "--max-requests", &COUNT),
    row("max_requests_jitter", "--max-requests-jitter", &COUNT),
    row("timeout", "--timeout", &COUNT),
    row("graceful_timeout", "--graceful-timeout", &COUNT),
    row("keepalive", "--keep-alive", &COUNT),
    row("limit_request_line", "--limit-request-line", &COUNT),
    row("limit_request_fields", "--limit-request-fields", &COUNT),
    row("limit_request_field_size", "--limit-request-field_size", &COUNT),
    row("reload", "--reload", &SWITCH),
    row("reload_engine", "--reload-engine", &RELOAD_ENGINE),
    row("reload_extra_files", "--reload-extra-file", &FILES),
    row("spew", "--spew", &SWITCH),
    row("check_config", "--check-config", &SWITCH),
    row("print_config", "--print-config", &SWITCH),
    row("preload_app", "--preload", &SWITCH),
    row("sendfile", "--no-sendfile", &SWITCH),
    row("reuse_port", "--reuse-port", &SWITCH),
    row("chdir", "--chdir", &CHDIR),
    row("daemon", "--daemon", &SWITCH),
    row("raw_env", "--env", &TEXTS),
    row("pidfile", "--pid", &TEXT),
    row("worker_tmp_dir", "--worker-tmp-dir", &DIRECTORY),
    row("user", "--user", &USER),
    row("group", "--group", &USER),
    row("umask", "--umask", &BITS),
    row("initgroups", "--initgroups", &SWITCH),
    row("tmp_upload_dir", "", &DIRECTORY),
    row("secure_scheme_headers", "", &PAIRS),
    row("forwarded_allow_ips", "--forwarded-allow-ips", &NETWORKS),
    row("accesslog", "--access-logfile", &TEXT),
    row("disable_redirect_access_to_syslog", "--disable-redirect-access-to-syslog", &SWITCH),
    row("access_log_format", "--access-logformat", &NAME),
    row("errorlog", "--log-file", &TEXT),
    row("loglevel", "--log-level", &NAME),
    row("capture_output", "--capture-output", &SWITCH),
    row("logger_class", "--logger-class", &CLASS),
    row("logconfig", "--log-config", &TEXT),
    row("logconfig_dict", "", &DICT),
    row("logconfig_json", "--log-config-json", &TEXT),
    row("syslog_addr", "--log-syslog-to", &TEXT),
    row("syslog", "--log-syslog", &SWITCH),
    row("syslog_prefix", "--log-syslog-prefix", &TEXT),
    row("syslog_facility", "--log-syslog-facility", &TEXT),
    row("enable_stdio_inheritance", "--enable-stdio-inheritance", &SWITCH),
    row("statsd_host", "--statsd-host", &STATSD),
    row("dogstatsd_tags", "--dogstatsd-tags", &TEXT),
    row("statsd_prefix", "--statsd-prefix", &TEXT),
    row("enable_backlog_metric", "--enable-backlog-metric", &SWITCH),
    row("proc_name", "--name", &TEXT),
    row("default_proc_name", "", &NAME),
    row("pythonpath", "--pythonpath", &TEXT),
    row("paste", "--paster", &TEXT),
    row("on_starting", "", &HOOK1),
    row("on_reload", "", &HOOK1),
    row("when_ready", "", &HOOK1),
    row("pre_fork", "", &HOOK2),
    row("post_fork", "", &HOOK2),
    row("post_worker_init", "", &HOOK1),
    row("worker_int", "", &HOOK1),
    row("worker_abort", "", &HOOK1),
    row("pre_exec", "", &HOOK1),
    row("pre_request", "", &HOOK2),
    row("post_request", "", &POST_REQUEST),
    row("child_exit", "", &HOOK2),
    row("worker_exit", "", &HOOK2),
    row("nworkers_changed", "", &HOOK3),
    row("on_exit", "", &HOOK1),
    row("ssl_context", "", &HOOK2),
    row("proxy_protocol", "--proxy-protocol", &PROXY_PROTOCOL),
    row("proxy_allow_ips", "--proxy-allow-from", &NETWORKS),
    row("protocol", "--protocol", &TEXT),
    row("uwsgi_allow_ips", "--uwsgi-allow-from", &NETWORKS),
    row("keyfile", "--keyfile", &TEXT),
    row("certfile", "--certfile", &TEXT),
    row("ssl_version", "--ssl-version", &SSL_VERSION),
    row("cert_reqs", "--cert-reqs", &CODE),
    row("ca_certs", "--ca-certs", &TEXT),
    row("suppress_ragged_eofs", "--suppress-ragged-eofs", &SWITCH),
    row("do_handshake_on_connect", "--do-handshake-on-connect", &SWITCH),
    row("ciphers", "--ciphers", &TEXT),
    row("http_protocols", "--http-protocols", &PROTOCOLS),
    row("http2_cleartext", "--http2-cleartext", &CLEARTEXT),
    row("http2_max_concurrent_streams", "--http2-max-concurrent-streams", &STREAMS),
    row("http2_initial_window_size", "--http2-initial-window-size", &WINDOW_SIZE),
    row("http2_max_frame_size", "--http2-max-frame-size", &FRAME_SIZE),
    row("http2_max_header_list_size", "--http2-max-header-list-size", &COUNT),
    row("raw_paste_global_conf", "--paste-global", &TEXTS),
    row("permit_obsolete_folding", "--permit-obsolete-folding", &SWITCH),
    row("strip_header_spaces", "--strip-header-spaces", &SWITCH),
    row("permit_unconventional_http_method", "--permit-unconventional-http-method", &SWITCH),
    row("permit_unconventional_http_version", "--permit-unconventional-http-version", &SWITCH),
    row("casefold_http_method", "--casefold-http-method", &SWITCH),
    row("forwarder_headers", "--forwarder-headers", &COMMAS),
    row("header_map", "--header-map", &HEADER_MAP),
    row("asgi_loop", "--asgi-loop", &ASGI_LOOP),
    row("asgi_lifespan", "--asgi-lifespan", &ASGI_LIFESPAN),
    row("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", &COUNT),
    row("websocket_max_message_size", "--websocket-max-message-size", &COUNT),
    row("http_parser", "--http-parser", &HTTP_PARSER),
    row("root_path", "--root-path", &TEXT),
    row("dirty_apps", "--dirty-app", &TEXTS),
    row("dirty_workers", "--dirty-workers", &COUNT),
    row("dirty_timeout", "--dirty-timeout", &COUNT),
    row("dirty_threads", "--dirty-threads", &COUNT),
    row("dirty_graceful_timeout", "--dirty-graceful-timeout", &COUNT),
    row("on_dirty_starting", "", &HOOK1),
    row("dirty_post_fork", "", &HOOK2),
    row("dirty_worker_init", "", &HOOK1),
    row("dirty_worker_exit", "", &HOOK2),
    row("control_socket", "--control-socket", &TEXT),
    row("control_socket_mode", "--control-socket-mode", &BITS),
    row("control_socket_disable", "--no-control-socket", &SWITCH),
];
