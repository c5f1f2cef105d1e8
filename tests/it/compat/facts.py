"""A conf file that says what the importable package does. Both servers execute it; `package.rs`
compares what they say, a line for each expression."""

import importlib
import io
import json
import os
import socket
import sys
import tempfile
import types

import gunicorn
from gunicorn import config, debug, errors, pidfile, sock, systemd, util
from gunicorn.app import base
from gunicorn.config import Config, Setting
from gunicorn.http import errors as http_errors

NAMES = {
    "gunicorn": "version_info __version__",
    "gunicorn.config": """Config Setting SettingMeta KNOWN_SETTINGS PLATFORM make_settings
        get_default_config_file validate_asgi_lifespan validate_asgi_loop validate_bool
        validate_callable validate_chdir validate_class validate_dict validate_file_exists
        validate_group validate_header_map_behaviour validate_http2_cleartext
        validate_http2_frame_size validate_http2_stream_limit validate_http2_window_size
        validate_http_parser validate_http_protocols validate_list_of_files_or_patterns
        validate_list_string validate_pos_int validate_post_request validate_proxy_protocol
        validate_reload_engine validate_ssl_version validate_statsd_address validate_string
        validate_string_to_addr_list validate_string_to_list validate_user ConfigError""",
    "gunicorn.util": """import_app load_class load_entry_point parse_address is_ipv6 http_date getcwd
        daemonize set_owner_process chown unlink close_on_exec set_non_blocking write write_chunk
        write_nonblock write_error bytes_to_str to_bytestring get_arity check_is_writable is_hoppish
        hop_headers split_request_uri unquote_to_wsgi_str warn _setproctitle close close_graceful
        closerange seed has_fileno make_fail_app reraise get_username positionals""",
    "gunicorn.errors": "HaltServer ConfigError AppImportError",
    "gunicorn.sock": """BaseSocket TCPSocket TCP6Socket UnixSocket create_sockets close_sockets
        ssl_context ssl_wrap_socket""",
    "gunicorn.pidfile": "Pidfile",
    "gunicorn.systemd": "listen_fds sd_notify SD_LISTEN_FDS_START",
    "gunicorn.reloader": "Reloader InotifyReloader reloader_engines preferred_reloader",
    "gunicorn.debug": "spew unspew Spew",
    "gunicorn.http.errors": " ".join(
        name for name in dir(http_errors) if name[0].isupper()
    ),
    "gunicorn.http.body": "Body",
    "gunicorn.app.base": "BaseApplication Application",
    "gunicorn.app.wsgiapp": "WSGIApplication run",
    "gunicorn.arbiter": "Arbiter",
    "gunicorn.glogging": """Logger CONFIG_DEFAULTS SafeAtoms SYSLOG_FACILITIES loggers
        parse_syslog_address""",
    "gunicorn.instrument.statsd": "Statsd",
    "gunicorn.http": "Message Request",
    "gunicorn.http.message": "Message Request",
    "gunicorn.http.wsgi": """Response FileWrapper SERVER SERVER_SOFTWARE WSGIErrorsWrapper base_environ
        default_environ proxy_environ""",
    "gunicorn.workers": "SUPPORTED_WORKERS",
    "gunicorn.workers.base": "Worker",
    "gunicorn.workers.base_async": "AsyncWorker ALREADY_HANDLED",
    "gunicorn.workers.sync": "SyncWorker",
    "gunicorn.workers.gthread": "ThreadWorker",
    "gunicorn.workers.workertmp": "WorkerTmp",
}

# rgunicorn has more.
SETTINGS = """
    access_log_format accesslog asgi_disconnect_grace_period asgi_lifespan asgi_loop backlog bind
    ca_certs capture_output casefold_http_method cert_reqs certfile chdir check_config child_exit
    ciphers config control_socket control_socket_disable control_socket_mode daemon
    default_proc_name dirty_apps dirty_graceful_timeout dirty_post_fork dirty_threads dirty_timeout
    dirty_worker_exit dirty_worker_init dirty_workers disable_redirect_access_to_syslog
    do_handshake_on_connect dogstatsd_tags enable_backlog_metric enable_stdio_inheritance errorlog
    forwarded_allow_ips forwarder_headers graceful_timeout group header_map http2_cleartext
    http2_initial_window_size http2_max_concurrent_streams http2_max_frame_size
    http2_max_header_list_size http_parser http_protocols initgroups keepalive keyfile
    limit_request_field_size limit_request_fields limit_request_line logconfig logconfig_dict
    logconfig_json logger_class loglevel max_requests max_requests_jitter nworkers_changed
    on_dirty_starting on_exit on_reload on_starting paste permit_obsolete_folding
    permit_unconventional_http_method permit_unconventional_http_version pidfile post_fork
    post_request post_worker_init pre_exec pre_fork pre_request preload_app print_config proc_name
    protocol proxy_allow_ips proxy_protocol pythonpath raw_env raw_paste_global_conf reload
    reload_engine reload_extra_files reuse_port root_path secure_scheme_headers sendfile spew
    ssl_context ssl_version statsd_host statsd_prefix strip_header_spaces suppress_ragged_eofs
    syslog syslog_addr syslog_facility syslog_prefix threads timeout tmp_upload_dir umask user
    uwsgi_allow_ips websocket_max_message_size when_ready worker_abort worker_class
    worker_connections worker_exit worker_int worker_tmp_dir workers wsgi_app
"""


class Log:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda text, *args, **options: self.lines.append((level, text % args))


log = Log()


def settings_of_gunicorn():
    """The classes of the settings that gunicorn has, by name."""
    found = {known.name: known for known in config.KNOWN_SETTINGS}
    return {name: found[name] for name in SETTINGS.split()}


def sent(write, *args):
    """What a function sends through a socket."""
    near, far = socket.socketpair()
    with near, far:
        write(near, *args)
        near.shutdown(socket.SHUT_WR)
        return far.makefile("rb").read()


def printed(stream, function, *args):
    """What a function prints."""
    before, text = getattr(sys, stream), io.StringIO()
    setattr(sys, stream, text)
    try:
        function(*args)
    finally:
        setattr(sys, stream, before)
    return text.getvalue()


def traced():
    debug.spew(trace_names=[__name__], show_values=True)
    lines = ["x"]
    debug.unspew()
    return lines


def make(**values):
    cfg = Config()
    for name, value in values.items():
        cfg.set(name, value)
    return cfg


def pid_file():
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "pid")
    file = pidfile.Pidfile(path)
    file.create(1 << 22)
    text, mode = open(path).read(), oct(os.stat(path).st_mode)
    valid = file.validate()
    other = os.path.join(directory, "other")
    file.rename(other)
    renamed = os.listdir(directory)
    file.unlink()
    left = os.listdir(directory)
    with open(path, "w") as stream:
        stream.write("%d\n" % os.getppid())
    try:
        pidfile.Pidfile(path).create(5)
        refused = None
    except RuntimeError as error:
        refused = str(error).replace(path, "PATH").replace(str(os.getppid()), "PPID")
    return text, mode, valid, renamed, left, refused


def environs():
    wsgi = importlib.import_module("gunicorn.http.wsgi")
    info = dict(proxy_protocol="TCP4", client_addr="10.0.0.1", client_port=5, proxy_addr="10.0.0.2", proxy_port=6)
    req = types.SimpleNamespace(
        method="PUT", uri="/a?b", query="b", version=(1, 0), body=io.BytesIO(b"x"), proxy_protocol_info=info
    )
    environ = wsgi.default_environ(req, "socket", make(workers=2))
    environ.update(wsgi.proxy_environ(req))
    same = environ.pop("SERVER_SOFTWARE") == wsgi.SERVER_SOFTWARE, environ.pop("wsgi.input") is req.body
    wrapped = type(environ.pop("wsgi.file_wrapper")(io.BytesIO(b"x"))).__name__
    environ.pop("wsgi.errors").write("to the error log\n")
    req.proxy_protocol_info = None
    return sorted(environ.items()), same, wrapped, wsgi.proxy_environ(req), len(wsgi.base_environ(make()))


def async_worker():
    module = importlib.import_module("gunicorn.workers.base_async")

    class Own(module.AsyncWorker):
        def timeout_ctx(self):
            return "context"

    worker = Own(1, 2, [], None, 3, make(worker_connections=7), None)
    handled = [worker.is_already_handled(answer) for answer in (module.ALREADY_HANDLED, [], None)]
    return Own.__mro__[2].__name__, worker.worker_connections, worker.timeout_ctx(), handled


def listeners():
    """Sockets of each kind: their type, their name and how they are set up."""
    path = os.path.join(tempfile.mkdtemp(), "socket")
    cfg = make(bind=["127.0.0.1:0", "[::1]:0", "unix:" + path], umask=0o27, backlog=5)
    found = []
    made = sock.create_sockets(cfg, log)
    for one in made:
        name = str(one).rpartition(":")[0]
        accepts = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        about = (one.cfg_addr if one.FAMILY != socket.AF_UNIX else "path", one.get_backlog())
        found.append((type(one).__name__, name, accepts, one.get_inheritable(), one.sock.gettimeout()) + about)
    found.append(oct(os.stat(path).st_mode))
    # The one of a descriptor takes it over.
    fd = os.dup(made[0].fileno())
    again = sock.create_sockets(cfg, log, fds=[fd])
    found.append((type(again[0]).__name__, again[0].getsockname() == made[0].getsockname()))
    found.append(os.path.exists("/proc/self/fd/%d" % fd))
    again[0].close()
    sock.close_sockets(made)
    found.append(os.path.exists(path))
    return found


def notified():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        path = os.path.join(tempfile.mkdtemp(), "notify")
        receiver.bind(path)
        os.environ["NOTIFY_SOCKET"] = path
        systemd.sd_notify("READY=1\nSTATUS=é", log, unset_environment=True)
        return receiver.recv(100), "NOTIFY_SOCKET" in os.environ


def listen_fds(**variables):
    os.environ.update(variables)
    return systemd.listen_fds(), "LISTEN_FDS" in os.environ


class Greeting(Setting):
    name = "greeting"
    section = "Extension"
    cli = ["--greeting"]
    meta = "TEXT"
    validator = config.validate_string
    default = " hello "
    desc = """\
        What to say.

        More about it.
        """


def one(a):
    pass


def two(a, b, *args, c=1):
    pass


def three(a, b, c):
    return a, b, c


def four(a, b, c, d=1):
    pass


class Odd:
    def __str__(self):
        return "odd"


EXPRESSIONS = r"""
[name for module, names in NAMES.items() for name in names.split() if not hasattr(importlib.import_module(module), name)]
sorted((name, known.__name__) for name, known in settings_of_gunicorn().items())
sorted((name, known.section) for name, known in settings_of_gunicorn().items() if known.section != "Server Mechanics" )
sorted((name, known.cli) for name, known in settings_of_gunicorn().items())
sorted((name, known.action, known.nargs, known.const) for name, known in settings_of_gunicorn().items())
sorted((name, str(known().get())) for name, known in settings_of_gunicorn().items() if not callable(known().get()))
sorted((name, util.get_arity(known().get())) for name, known in settings_of_gunicorn().items() if callable(known().get()))
sorted(name for name, known in settings_of_gunicorn().items() if not known.short or not known.desc)
[config.ForwardedAllowIPS.__mro__[1] is Setting, config.Bind.name, config.Postfork.__module__]
Config().workers, Config().bind, Config().timeout, Config().errorlog, Config().preload_app
Config().address
make(bind=["a:1", "[::1]:2", "unix:/x", "fd://3", ":5", "[fe80::1]", "HOST", "tcp://h:1"]).address
make(bind=["unix://x/y", "unix:@z"]).address
make(bind="h:x").address
Config().uid, Config().gid, Config().sendfile, Config().reuse_port
make(user="nobody").uid, make(group="1").gid
make(user="no such user")
make(proc_name="x").proc_name, Config().proc_name, make(default_proc_name="y").proc_name
make(raw_env=["A=1", "B=x=y", "C="]).env, Config().env
make(raw_env=["A"]).env
make(raw_paste_global_conf=["A=1", r"B\=C=2", "D=x=y"]).paste_global_conf
bool(Config().is_ssl), bool(make(certfile="x").is_ssl), bool(make(keyfile="x").is_ssl)
sorted(Config().ssl_options), make(keyfile="x").ssl_options["keyfile"]
Config().worker_class_str, make(threads=2).worker_class_str, make(worker_class="a.SyncWorker", threads=2).worker_class_str
make(worker_class="gevent").worker_class_str, make(worker_class=Odd).worker_class_str, make(worker_class=lambda: Odd).worker_class is Odd
make(logger_class=Odd).logger_class is Odd
Config().forwarded_allow_networks(), make(forwarded_allow_ips="10.0.0.0/8,*").forwarded_allow_networks()
Config().proxy_allow_networks()
make(forwarded_allow_ips="10.0.0.1/8")
make(forwarded_allow_ips="x")
make(forwarded_allow_ips=["1.2.3.4"])
type(Config().env_orig).__name__, Config().env_orig is os.environ, "PATH" in Config().env_orig
Config().settings["backlog"].value, Config().settings["backlog"].get(), Config().settings["workers"].name
Config().no_such
Config().settings["no_such"]
make(no_such=1)
setattr(Config(), "workers", 3)
setattr(Config(), "anything", 3)
make(workers="0x10").workers, make(workers=True).workers
make(workers=-1)
make(workers="x")
make(workers=None)
make(workers=1.5)
make(preload_app="TRUE ").preload_app, make(preload_app="false").preload_app
make(preload_app=1)
make(preload_app="yes")
make(bind=("a", " b ")).bind, make(bind="c").bind, make(bind=()).bind
make(bind=[1])
make(proc_name=" x ").proc_name, make(pidfile=None).pidfile
make(proc_name=3)
make(secure_scheme_headers={"A": "b"}).secure_scheme_headers
make(secure_scheme_headers=[])
make(logconfig_dict={"version": 1, "x": Odd}).logconfig_dict["x"] is Odd
make(header_map=" Refuse").header_map
make(header_map="x")
make(reload_engine="x")
make(statsd_host="h:1").statsd_host, make(statsd_host="unix:/x").statsd_host, make(statsd_host="unix:123").statsd_host, make(statsd_host="h").statsd_host
make(forwarder_headers="A,B , C,,").forwarder_headers
make(chdir="/tmp").chdir
make(chdir="/no/such")
make(post_fork=two).post_fork is two
make(post_fork=one)
make(post_fork="no dots")
make(post_fork="os.path.no_such")
make(post_fork="no_such_module.x")
make(post_fork=5)
make(on_starting="os.fspath").on_starting is os.fspath
make(post_request=two).post_request(1, 2, 3, 4), make(post_request=three).post_request(1, 2, 3, 4), make(post_request=four).post_request is four
make(post_request=one)
make(proxy_protocol=True).proxy_protocol, make(proxy_protocol="v1").proxy_protocol
[name for name, default in settings_of_gunicorn().items() if callable(default().get()) and default().get().__qualname__.rpartition(".")[2] != name]
Config().post_fork(1, 2), Config().when_ready(1), Config().nworkers_changed(1, 2, 3)
Config().ssl_context(None, lambda: "context")
"post_fork                          = <Postfork.post_fork()>" in str(Config())
"backlog                            = 2048" in str(Config())
repr(Config().settings["workers"]).partition(" at ")[0], repr(Config().settings["workers"]).rpartition(" with ")[2]
config.Workers() < config.WorkerClass(), config.WorkerClass() < config.Workers(), config.Workers() < config.Bind()
config.Workers().copy().value, config.make_settings(ignore=["workers"]).get("workers")
Greeting.short, Greeting.desc, Greeting.order == len(config.KNOWN_SETTINGS) - 1, Config().greeting, make(greeting="x ").greeting
make(greeting=1)
Setting().get(), Setting().name, Setting().section
Setting().set(1)
config.validate_bool(None), config.validate_bool("True "), config.validate_bool(False)
config.validate_bool(1)
config.validate_bool("1")
config.validate_dict([])
config.validate_pos_int("0b11"), config.validate_pos_int("017")
config.validate_pos_int(-1)
config.validate_pos_int(None)
config.validate_string(None), config.validate_string(" a ")
config.validate_string(1)
config.validate_list_string(None), config.validate_list_string("a"), config.validate_list_string(x for x in " a")
config.validate_list_string([1])
config.validate_file_exists("/no/such")
config.validate_file_exists("/tmp"), config.validate_file_exists(None)
config.validate_list_of_files_or_patterns(["/tmp", "/tm*"])
config.validate_list_of_files_or_patterns(["/no/such"])
config.validate_string_to_list("a, b,,c"), config.validate_string_to_list(None)
config.validate_string_to_addr_list("1.2.3.4, *, ::/0")
config.validate_string_to_addr_list("1.2.3")
config.validate_class(Odd) is Odd, config.validate_class(lambda: Odd) is Odd, config.validate_class(" x")
config.validate_class(Odd())
config.validate_callable(2)(two) is two, config.validate_callable(-1)(three) is three
config.validate_callable(1)(two)
config.validate_callable(1)(Odd())
config.validate_callable(1)("x")
config.validate_callable(1)("os.no_such")
config.validate_user(None), config.validate_user(7), config.validate_user("8"), config.validate_user("nobody")
config.validate_user("no such")
config.validate_group(None), config.validate_group("9"), config.validate_group("root")
config.validate_group("no such")
config.validate_post_request(three)(1, 2, 3, 4)
config.validate_chdir("/tmp/../tmp")
config.validate_chdir("/no such")
config.validate_statsd_address("unix:9"), config.validate_statsd_address("h"), config.validate_statsd_address(None)
config.validate_statsd_address("h:x")
config.validate_reload_engine("poll")
config.get_default_config_file() is None or os.path.basename(config.get_default_config_file())
str(errors.HaltServer("why", 7)), errors.HaltServer("x").exit_status, errors.HaltServer.__mro__[1].__name__
errors.AppImportError.__module__, errors.ConfigError.__mro__[1].__name__
util.parse_address("x:y")
util.parse_address("fd://x")
util.parse_address("h"), util.parse_address(""), util.parse_address("h:1:2"), util.parse_address("[::1"), util.parse_address("unix:"), util.parse_address("h", default_port="9")
util.is_ipv6("::1"), util.is_ipv6("1.2.3.4"), util.is_ipv6("x")
util.split_request_uri("//a/b?c#d"), util.split_request_uri("/a?b"), util.split_request_uri("http://h/p")
util.unquote_to_wsgi_str("/a%C3%A9%2f"), util.is_hoppish(" Connection "), util.is_hoppish("X"), sorted(util.hop_headers)
util.http_date(0), len(util.http_date())
util.to_bytestring("é"), util.to_bytestring(b"x"), util.to_bytestring("é", "latin1"), util.bytes_to_str(b"\xe9"), util.bytes_to_str("x")
util.to_bytestring(1)
util.is_glob_pattern("a*"), util.is_glob_pattern("a")
util.check_is_writable("/no/such/file")
util.check_is_writable("/dev/null")
util.unlink("/no/such/file")
util.unlink("/proc/1")
util.has_fileno(io.BytesIO()), util.has_fileno(sys.__stdin__), util.has_fileno(1)
util.get_arity(one), util.get_arity(two), util.get_arity(four), util.get_arity(lambda *a, **k: 0), util.get_arity(Odd().__str__)
util.get_username(0)
util.load_class(Odd) is Odd, util.load_class("collections.OrderedDict").__name__
util.load_class("collections.NoSuch")
sent(util.write_error, 400, "Bad <Request>", "a & <b>")
sent(util.write_chunk, "é"), sent(util.write_chunk, b""), sent(util.write, b"x", True), sent(util.write, b"x"), sent(util.write_nonblock, b"x", True)
printed("stderr", util.warn, "one\ntwo\n")
printed("stdout", traced)
util.make_fail_app("é")({}, lambda status, headers: print("", end="")), util.import_app("os:getcwd()")
util.import_app("os:no_such")
util.import_app("os:sep")
util.import_app("no_such_module")
util.reraise(ValueError, None)
util.reraise(ValueError, ValueError("x"))
util.set_owner_process(os.getuid(), os.getgid())
sorted(util.positionals)
pid_file()
pidfile.Pidfile("/no/such/dir/pid").create(1)
listeners()
sock.create_sockets(make(certfile="/no/such"), log)
sock._sock_type(5)
sock.UnixSocket("/dev/null", Config(), log)
notified(), systemd.sd_notify("x", log)
listen_fds(LISTEN_FDS="3", LISTEN_PID="1")
listen_fds(LISTEN_FDS="3", LISTEN_PID=str(os.getpid())), systemd.SD_LISTEN_FDS_START
sorted(importlib.import_module("gunicorn.reloader").reloader_engines)
[str(getattr(http_errors, name)("a")) if name not in ("InvalidSchemeHeaders", "ParseException") else str(getattr(http_errors, name)()) for name in NAMES["gunicorn.http.errors"].split()]
[(name, getattr(http_errors, name).__mro__[1].__name__) for name in NAMES["gunicorn.http.errors"].split()]
[getattr(getattr(http_errors, name)("a"), "code", None) for name in NAMES["gunicorn.http.errors"].split() if name != "InvalidSchemeHeaders"]
str(http_errors.LimitRequestLine(5, 4)), str(http_errors.NoMoreData(b"x")), http_errors.InvalidHeader("a", req=1).req
issubclass(base.Application, base.BaseApplication), hasattr(base.BaseApplication, "load")
type("Standalone", (base.BaseApplication,), {"load": lambda self: None}).__mro__[1].__name__
importlib.import_module("gunicorn.workers").SUPPORTED_WORKERS
environs()
async_worker()
Config().validate(), make(workers=2, http_protocols="h1").validate()
[importlib.import_module("gunicorn.instrument.statsd").Statsd(make(statsd_prefix=prefix)).prefix for prefix in ("", ".", "a", "a.", "a..", "ab", "a.b..")]
importlib.import_module("gunicorn.no_such")
util.load_class("sync").__name__, util.load_class("#gthread").__name__, util.load_class("gunicorn.workers.sync.SyncWorker").__module__
Config().worker_class.__name__, make(threads=2).worker_class.__name__, make(worker_class="gthread").worker_class.__name__
Config().logger_class.__name__, make(statsd_host="h").logger_class.__name__, make(logger_class="simple").logger_class.__name__
make(logger_class="collections.OrderedDict").logger_class.__name__
[getattr(importlib.import_module("gunicorn.arbiter").Arbiter, name) for name in ("WORKER_BOOT_ERROR", "APP_LOAD_ERROR")]
""".strip().splitlines()

if __name__ == "__config__":
    for expression in EXPRESSIONS:
        try:
            value = repr(eval(expression))
        except BaseException as error:
            kind = type(error)
            value = "%s.%s: %s" % (kind.__module__, kind.__name__, error)
        print(json.dumps([expression, value.replace(os.getcwd(), "DIRECTORY")]))
    sys.stdout.flush()
    sys.exit(0)
