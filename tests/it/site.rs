//! What a browser and an API client do with the example sites; the two offer the same pages.

use std::thread;

use crate::harness::cases::cases;
use crate::harness::{Client, Response, Server, upload};

/// All of it, once in a row and then from several clients at once.
pub fn check(server: &Server) {
    let all: fn(&Server) = |server| {
        cases!(server;
            page,
            form_post,
            json_post,
            file_upload,
            streaming,
            static_file,
            not_found,
            exception,
            cookies,
            large_headers,
            head,
        );
    };
    all(server);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| all(server));
        }
    });
}

fn page(server: &Server) {
    let response = server.get("/");
    assert_eq!(response.status, 200);
    assert!(response.text().contains("<h1>Guestbook</h1>"), "{}", response.text());
    assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/html")));
}

/// Sends a POST and returns the response.
#[track_caller]
fn post(client: &mut Client, target: &str, kind: &str, headers: &str, body: &[u8]) -> Response {
    client.send(format!(
        "POST {target} HTTP/1.1\r\nHost: example.test\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    ));
    client.send(body);
    client.response()
}

fn form_post(server: &Server) {
    // Django wants the token of its page back, in a cookie and in a field; Flask has none.
    let page = server.get("/");
    let token = page
        .text()
        .split("name=\"csrfmiddlewaretoken\" value=\"")
        .nth(1)
        .map(|rest| rest.split('"').next().expect("the attribute ends").to_owned());
    let cookie = page.header("Set-Cookie").and_then(|value| value.split(';').next());
    let (field, header) = match (&token, cookie) {
        (Some(token), Some(cookie)) => {
            (format!("&csrfmiddlewaretoken={token}"), format!("Cookie: {cookie}\r\n"))
        }
        _ => (String::new(), String::new()),
    };
    let body = format!("name=J%C3%BCrgen+B%26B{field}");
    let kind = "application/x-www-form-urlencoded";
    let response = post(&mut server.connect(), "/form", kind, &header, body.as_bytes());
    assert_eq!(response.text(), "Thank you, J\u{fc}rgen B&B!");
}

fn json_post(server: &Server) {
    let body = br#"{"numbers": [1, 2, 39]}"#;
    let response = post(&mut server.connect(), "/json", "application/json", "", body);
    assert_eq!(response.status, 200, "{}", response.text());
    let text: String = response.text().split_whitespace().collect();
    assert_eq!(text, r#"{"total":42}"#);
    assert_eq!(response.header("Content-Type"), Some("application/json"));
}

fn file_upload(server: &Server) {
    let response = post(&mut server.connect(), "/upload", upload::KIND, "", &upload::body());
    assert_eq!(response.text(), upload::answer());
}

fn streaming(server: &Server) {
    let response = server.get("/stream");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.chunks.len(), 1000);
    let wanted: Vec<String> = (0..1000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(response.text(), wanted.concat());
}

fn static_file(server: &Server) {
    let response = server.get("/static/style.css");
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), include_str!("../../examples/flask/static/style.css"));
    assert!(response.header("Content-Type").is_some_and(|kind| kind.starts_with("text/css")));
    let changed = response.header("Last-Modified").expect("files have a time").to_owned();
    let mut client = server.connect();
    client.send(format!(
        "GET /static/style.css HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         If-Modified-Since: {changed}\r\n\r\n"
    ));
    assert_eq!(client.response().status, 304);
}

fn not_found(server: &Server) {
    let response = server.get("/no/such/page");
    assert_eq!((response.status, response.reason.to_uppercase().as_str()), (404, "NOT FOUND"));
    assert!(response.text().contains("Not Found"), "{}", response.text());
    // Method not allowed, with the ones that are.
    let response = post(&mut server.connect(), "/", "text/plain", "", b"");
    assert!(matches!(response.status, 403 | 405), "{}", response.status);
}

fn exception(server: &Server) {
    let response = server.get("/crash");
    assert_eq!(response.status, 500);
    assert!(response.text().contains("Server Error"), "{}", response.text());
    server.log.wait_for("RuntimeError: deliberate");
}

fn cookies(server: &Server) {
    let mut jar = String::new();
    for count in 1..4 {
        let mut client = server.connect();
        let cookie = if jar.is_empty() { String::new() } else { format!("Cookie: {jar}\r\n") };
        client.send(format!(
            "GET /visits HTTP/1.1\r\nHost: example.test\r\n{cookie}Connection: close\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!(response.text(), format!("visit {count}"));
        let set = response.all("Set-Cookie");
        assert_eq!(set.len(), 2, "{set:?}");
        let pairs: Vec<&str> = set.iter().filter_map(|cookie| cookie.split(';').next()).collect();
        jar = pairs.join("; ");
    }
}

fn large_headers(server: &Server) {
    let value = "h".repeat(8000);
    let mut client = server.connect();
    client.send(format!(
        "GET /headers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Sent: {value}\r\n\r\n"
    ));
    let response = client.response();
    assert_eq!(response.header("X-Returned"), Some(value.as_str()));
}

fn head(server: &Server) {
    let length = server.get("/").header("Content-Length").map(str::to_owned);
    let raw = server.exchange("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = Response::parse(&raw);
    assert_eq!(response.body, b"");
    assert_eq!(response.header("Content-Length"), length.as_deref());
}
