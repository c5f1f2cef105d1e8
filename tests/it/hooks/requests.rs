//! The hooks around a request: what they are given, when they are called, and what they can change.

use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Builder, Server, ServerKind};

on_both_servers!(
    order,
    what_a_request_shows,
    what_a_response_shows,
    forms_of_post_request,
    changes_of_a_request,
    failures,
    by_default,
);

/// A server whose connections stay, with these lines in its conf file.
fn serve(kind: ServerKind, conf: &str) -> Server {
    let conf = format!("from hooked import note\n{conf}");
    let builder = Builder::new(kind).file("conf.py", &conf).keeping_alive();
    let path = builder.dir().join("conf.py");
    let args = ["-c".as_ref(), path.as_os_str()];
    // The conf file is executed before `chdir` takes effect.
    let apps = crate::harness::server::APPS;
    builder.args(args).env("PYTHONPATH", apps).app("hooked:app").start()
}

/// What hooks and application have noted, once there are so many notes.
#[track_caller]
fn notes(server: &Server, count: usize) -> Vec<String> {
    let noted = |text: &str| -> Vec<String> {
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.filter_map(|line| line.strip_prefix("hook: ")).map(str::to_owned).collect()
    };
    server.log.wait_until(BOUND, 0, &format!("{count} notes"), |text| {
        Some(noted(text)).filter(|notes| notes.len() >= count)
    })
}

fn order(kind: ServerKind) {
    let server = serve(
        kind,
        "accesslog = '/dev/stderr'\naccess_log_format = 'hook: logged %(m)s %(s)s'\n\
         def pre_request(worker, req): note('pre', worker.nr)\n\
         def post_request(worker, req, environ, resp): note('post', worker.nr)\n",
    );
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().status, 200);
    let expected = ["pre 0", "app body", "logged POST 200", "close", "post 1"];
    assert_eq!(notes(&server, 5), expected);
    // Without a response of the application's own, the hook comes before the answer.
    client.send("GET /raises HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 500);
    assert_eq!(notes(&server, 8)[5..], ["pre 1", "post 2", "logged GET 500"]);
}

fn what_a_request_shows(kind: ServerKind) {
    let server = serve(
        kind,
        "NAMES = 'method uri path query fragment version headers trailers scheme req_number \
         proxy_protocol_info must_close'.split()\n\
         def pre_request(worker, req):\n    \
         note(*[repr(getattr(req, name)) for name in NAMES])\n    \
         note(req.peer_addr == req.remote_addr, req.peer_addr[0], type(req.peer_addr).__name__,\n         \
         req.should_close(), req.cfg is worker.cfg, type(req).__name__)\n    \
         req.mine = req.body\n\
         def post_request(worker, req, environ):\n    \
         note(req.mine is environ['wsgi.input'])\n",
    );
    let mut client = server.connect();
    let mut seen = Vec::new();
    let mut request = |bytes: &str, notes_each: usize| {
        client.send(bytes);
        client.response();
        let count = seen.len() + notes_each;
        seen = notes(&server, count);
        seen[count - notes_each..].to_vec()
    };
    let first = request(
        "POST /a%20b//;c?d=%20&e#f HTTP/1.1\r\nHost: a\r\nx-Two: 1\r\nContent-Length: 2\r\n\
         X-two:  2 \r\n\r\nab",
        5,
    );
    let expected = [
        "'POST' '/a%20b//;c?d=%20&e#f' '/a%20b//;c' 'd=%20&e' 'f' (1, 1) [('HOST', 'a'), ('X-TWO', \
         '1'), ('CONTENT-LENGTH', '2'), ('X-TWO', '2')] [] 'http' 1 None False",
        "True 127.0.0.1 tuple False True Request",
        "app ab",
        "close",
        "True",
    ];
    assert_eq!(first, expected);
    let second = request("GET http://b/c?d HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n", 5);
    let expected = [
        "'GET' 'http://b/c?d' '/c' 'd' '' (1, 1) [('HOST', 'b'), ('CONNECTION', 'close')] [] 'http' \
         2 None False",
        "True 127.0.0.1 tuple True True Request",
    ];
    assert_eq!(second[..2], expected);
}

fn what_a_response_shows(kind: ServerKind) {
    let server = serve(
        kind,
        "NAMES = 'status status_code headers sent response_length headers_sent chunked \
         upgrade'.split()\n\
         def post_request(worker, req, environ, resp):\n    \
         note(req.path, *[repr(getattr(resp, name, 'absent')) for name in NAMES])\n    \
         note(environ['PATH_INFO'], resp.should_close(), type(resp).__name__)\n",
    );
    let mut client = server.connect();
    for target in ["/whole", "/chunks"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.response();
    }
    client.send("HEAD /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.read_to_end();
    for target in ["/raises", "/started", "/breaks"] {
        server.exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    }
    let own = "[('Content-Length', '2'), ('X-Own', '1')]";
    let expected = [
        "app ",
        "close",
        &format!("/whole '200 OK' 200 {own} 2 2 True False False"),
        "/whole False Response",
        "close",
        "/chunks '201 Created' 201 [('X-Own', '1')] 9 None True True False",
        "/chunks False Response",
        "app ",
        "close",
        &format!("/whole '200 OK' 200 {own} 0 2 True False False"),
        "/whole True Response",
        "/raises None 'absent' [] 0 None False False False",
        "/raises True Response",
        &format!("/started '200 OK' 200 {own} 0 2 False False False"),
        "/started True Response",
        "close",
        &format!("/breaks '202 Accepted' 202 {own} 1 2 True False False"),
        "/breaks True Response",
    ];
    assert_eq!(notes(&server, expected.len()), expected);
}

fn forms_of_post_request(kind: ServerKind) {
    for (arguments, seen) in [
        ("worker, req", "(worker.age, req.path)"),
        ("worker, req, environ", "(worker.age, req.path, environ['PATH_INFO'])"),
        ("worker, req, environ, resp", "(worker.age, req.path, environ['PATH_INFO'], resp.sent)"),
    ] {
        let conf = format!("def post_request({arguments}): note({seen})\n");
        let server = serve(kind, &conf);
        assert_eq!(server.get("/x").status, 200);
        let expected = match arguments.len() {
            11 => "(1, '/x')",
            20 => "(1, '/x', '/x')",
            _ => "(1, '/x', '/x', 2)",
        };
        assert_eq!(notes(&server, 3)[2], expected);
    }
}

/// Hooks that give a request more than the client did are in use.
fn changes_of_a_request(kind: ServerKind) {
    let server = serve(
        kind,
        "accesslog = '-'\n\
         access_log_format = 'seen: %({x-request-id}i)s %({x-secret}i)s %({host}i)s'\n\
         def pre_request(worker, req):\n    \
         if req.query == 'close': req.force_close()\n    \
         if req.query == 'add': req.headers.append(('X-REQUEST-ID', 'seven'))\n    \
         if req.query == 'drop': req.headers = [h for h in req.headers if h[0] != 'X-SECRET']\n    \
         if req.query == 'move': req.path, req.query, req.method = '/environ', 'moved=1', 'PUT'\n",
    );
    let mut client = server.connect();
    let mut ask = |target: &str, show: &str| {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nX-Secret: 3\r\nX-Show: {show}\r\n\r\n"
        ));
        client.response().text()
    };
    let names = "HTTP_X_REQUEST_ID HTTP_X_SECRET HTTP_HOST";
    assert_eq!(ask("/environ", names), "None|3|a");
    assert_eq!(ask("/environ?add", names), "seven|3|a");
    assert_eq!(ask("/environ?drop", names), "None|None|a");
    for line in ["seen: - 3 a", "seen: seven 3 a", "seen: - - a"] {
        server.out.wait_for(line);
    }
    let target = "REQUEST_METHOD PATH_INFO QUERY_STRING";
    assert_eq!(ask("/elsewhere?move", target), "PUT|/environ|moved=1");
    client.send("GET /?close HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("Connection"), Some("close"));
    client.assert_closed();
}

fn failures(kind: ServerKind) {
    let server = serve(
        kind,
        "def pre_request(worker, req):\n    \
         if req.path == '/pre': raise ValueError('before the request')\n\
         def post_request(worker, req, environ, resp):\n    \
         note(req.path, 'PATH_INFO' in environ, resp and resp.status)\n    \
         if req.path == '/post': raise ValueError('behind the request')\n",
    );
    let answer = server.get("/pre");
    assert_eq!(answer.status, 500);
    server.log.wait_for("[ERROR] Error handling request GET /pre");
    server.log.wait_for("ValueError: before the request");
    let mut client = server.connect();
    for _ in 0..2 {
        // The client is not told, and keeps its connection.
        client.send("GET /post HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    server.log.wait_for_count("[ERROR] Exception in post_request hook", 2);
    server.log.wait_for("ValueError: behind the request");
    let notes = notes(&server, 7);
    assert_eq!(notes[0], "/pre False None");
    assert_eq!(notes[3], "/post True 200 OK");
}

/// Without a hook, each request is told of at debug.
fn by_default(kind: ServerKind) {
    let server = serve(kind, "loglevel = 'debug'\n");
    assert_eq!(server.get("/a%20b?c").status, 200);
    server.log.wait_for("[DEBUG] GET /a%20b");
    let server = serve(kind, "loglevel = 'debug'\ndef pre_request(worker, req): note('own')\n");
    assert_eq!(server.get("/a").status, 200);
    assert_eq!(notes(&server, 1)[0], "own");
    assert!(!server.log.text().contains("[DEBUG] GET /a"));
}
