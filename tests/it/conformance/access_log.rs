//! The access log: the default line, every atom, and which requests get a line.

use crate::harness::cases::{cases, on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Server, ServerKind};

on_both_servers!(default_format, body_errors, atoms, durations, to_a_file);

on_rgunicorn!(waits, slow_clients, given_up);

fn default_format(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--access-logfile", "-"])
        // Five and a half hours east of Greenwich.
        .env("TZ", "TST-5:30")
        .start();
    cases!(&server; whole_line, referer_and_agent, head_errors, framing_errors_have_one);
}

#[track_caller]
fn line_of(server: &Server, request: &str, needle: &str) -> String {
    let mark = server.out.mark();
    server.exchange(request);
    server.out.wait_for_since(mark, needle)
}

fn whole_line(server: &Server) {
    let line = line_of(server, "GET /x?y HTTP/1.1\r\nConnection: close\r\n\r\n", "GET /x?y");
    let (before, rest) = line.split_once('[').expect("a time in brackets");
    let (time, after) = rest.split_once(']').expect("a time in brackets");
    assert_eq!(before, "127.0.0.1 - - ");
    assert_eq!(after, " \"GET /x?y HTTP/1.1\" 200 2 \"-\" \"-\"");
    // 20/Nov/2026:04:22:06 +0530
    assert_eq!(time.len(), 26, "{time}");
    assert!(time.ends_with(" +0530"), "{time}");
    let marks: String = time.chars().filter(|char| !char.is_ascii_alphanumeric()).collect();
    assert_eq!(marks, "//::: +");
}

fn referer_and_agent(server: &Server) {
    let request = "GET / HTTP/1.0\r\nReferer: http://r.test/\r\nUser-Agent: a \"b\" c\\\r\n\r\n";
    let line = line_of(server, request, "r.test");
    // rgunicorn doubles a backslash where it would otherwise seem to escape the closing quote.
    let last = if server.kind.is_rgunicorn() { "c\\\\" } else { "c\\" };
    let wanted = format!(" \"GET / HTTP/1.0\" 200 1 \"http://r.test/\" \"a \\\"b\\\" {last}\"");
    assert!(line.ends_with(&wanted), "{line}");
}

/// gunicorn has lines for requests that it understands. rgunicorn has one for all that it answers.
fn head_errors(server: &Server) {
    let mark = server.out.mark();
    let mut expected = vec!["\"BAD\" 400 0 \"-\" \"-\"".to_owned()];
    server.exchange("BAD\r\n\r\n");
    for (line, status) in
        [("NoColon", 400), ("Transfer-Encoding: zip", 501), ("Expect: foo", 417), ("X: a\0b", 400)]
    {
        server.exchange(format!("GET /unread?x HTTP/1.1\r\n{line}\r\n\r\n"));
        expected.push(format!("\"GET /unread?x HTTP/1.1\" {status} 0 \"-\" \"-\""));
    }
    server.exchange(b"\x16\x03\x01 \"quoted\"\r\n\r\n");
    expected.push("\"\\x16\\x03\\x01 \\\"quoted\\\"\" 400 0 \"-\" \"-\"".to_owned());
    server.exchange(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(5000)));
    expected.push("\" 414 0 \"-\" \"-\"".to_owned());
    server.exchange(format!("GET /large HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000)));
    expected.push("\"GET /large HTTP/1.1\" 431 0 \"-\" \"-\"".to_owned());
    server.exchange("GET /seen HTTP/1.1\r\nConnection: close\r\n\r\n");
    server.out.wait_for_since(mark, "/seen");
    let text = server.out.since(mark);
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("/seen")).collect();
    if !server.kind.is_rgunicorn() {
        assert!(lines.is_empty(), "{text}");
        return;
    }
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with(&expected), "{line}");
    }
}

fn framing_errors_have_one(server: &Server) {
    for (number, lines) in [
        "Content-Length: 1, 1\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Host: a\r\nHost: a\r\n",
        "Content-Type: a\r\nContent-Type: a\r\n",
    ]
    .iter()
    .enumerate()
    {
        let target = format!("/framing{number}");
        let line = line_of(server, &format!("POST {target} HTTP/1.1\r\n{lines}\r\n"), &target);
        assert!(line.contains(&format!("\"POST {target} HTTP/1.1\" 400 0 ")), "{line}");
    }
    // The scheme comes from a trusted peer here: a known request, refused for its path.
    let request = "GET /elsewhere HTTP/1.1\r\nSCRIPT_NAME: /p\r\n\r\n";
    let line = line_of(server, request, "/elsewhere");
    assert!(line.contains("\"GET /elsewhere HTTP/1.1\" 500 0 "), "{line}");
}

/// Errors in a body that the application wants.
fn body_errors(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--access-logfile", "-"]).start();
    let head = "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let line = line_of(&server, &format!("{head}xyz\r\n"), "/body");
    assert!(line.contains("\"POST /body HTTP/1.1\" 400 0 "), "{line}");
}

fn atoms(kind: ServerKind) {
    let atoms = [
        "h",
        "l",
        "u",
        "r",
        "s",
        "m",
        "U",
        "q",
        "H",
        "B",
        "b",
        "f",
        "a",
        "p",
        "{x-one}i",
        "{X-ONE}i",
        "{x-two}i",
        "{content-type}o",
        "{x-none}o",
        "{server}o",
        "{path_info}e",
        "{REQUEST_METHOD}e",
        "{wsgi.url_scheme}e",
        "{none}e",
        "nonsense",
    ];
    let format: Vec<String> = atoms.iter().map(|atom| format!("{atom}=%({atom})s")).collect();
    let server = Builder::new(kind)
        .app("echo:app")
        .args([
            "--access-logfile",
            "-",
            "--access-logformat",
            &format!("{}|100%%", format.join("|")),
        ])
        .start();
    let credentials = "Authorization: BASIC dXNlcjpwYXNzOndvcmQ=\r\n";
    let request = format!(
        "POST /a%20b?c=d HTTP/1.1\r\n{credentials}X-One: first\r\nx-one: last\r\n\
         Connection: close\r\nContent-Length: 2\r\n\r\nhi"
    );
    let line = line_of(&server, &request, "h=");
    let worker = server.workers()[0];
    let size = server
        .out
        .text()
        .split("|B=")
        .nth(1)
        .and_then(|rest| rest.split('|').next()?.parse::<u32>().ok())
        .expect("the size is a number");
    assert!(size > 100, "{line}");
    let wanted = format!(
        "h=127.0.0.1|l=-|u=user|r=POST /a%20b?c=d HTTP/1.1|s=200|m=POST|U=/a b|q=c=d|H=HTTP/1.1|\
         B={size}|b={size}|f=-|a=-|p=<{worker}>|{{x-one}}i=last|{{X-ONE}}i=last|{{x-two}}i=-|\
         {{content-type}}o=text/plain|{{x-none}}o=-|{{server}}o=-|{{path_info}}e=/a b|\
         {{REQUEST_METHOD}}e=POST|{{wsgi.url_scheme}}e=http|{{none}}e=-|nonsense=-|100%"
    );
    assert_eq!(line, wanted);

    for (credentials, user) in [
        ("Authorization: Basic !!!\r\n", "|u=-|"),
        ("Authorization: Bearer dXNlcjpwYXNz\r\n", "|u=-|"),
        ("Authorization: Basic OnBhc3M=\r\n", "|u=-|"),
        ("Authorization: Basic c8O8czp4\r\n", "|u=s\u{fc}s|"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nConnection: close\r\n{credentials}\r\n");
        let line = line_of(&server, &request, "h=");
        assert!(line.contains(user), "{credentials:?}: {line}");
    }
}

fn durations(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("supervised:app")
        .args(["--access-logfile", "-", "--access-logformat", "T=%(T)s M=%(M)s D=%(D)s L=%(L)s"])
        .start();
    let line = line_of(&server, "GET /sleep?1.2 HTTP/1.1\r\nConnection: close\r\n\r\n", "T=");
    let values: Vec<&str> =
        line.split(' ').filter_map(|word| Some(word.split_once('=')?.1)).collect();
    let [whole, millis, micros, decimal] = values[..] else { panic!("{line}") };
    assert_eq!(whole, "1");
    let micros: u64 = micros.parse().expect("microseconds are a number");
    assert!((1_200_000..10_000_000).contains(&micros), "{line}");
    assert_eq!(millis, (micros / 1000).to_string());
    assert_eq!(decimal, format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
}

/// The atom that gunicorn does not have.
fn waits(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--access-logfile", "-", "--access-logformat", "W=%(W)s"])
        .start();
    let line = line_of(&server, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "W=");
    let (seconds, decimals) = line[2..].split_once('.').expect("a decimal number");
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds < 60), "{line}");
    assert!(decimals.len() == 6 && decimals.parse::<u64>().is_ok(), "{line}");
}

/// Refused for taking too long, or too much.
fn slow_clients(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--access-logfile", "-", "--header-timeout", "1", "--body-timeout", "1"])
        .args(["--limit-request-body", "100"])
        .start();
    let large = "POST /large HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
    assert!(line_of(&server, large, "/large").contains("\"POST /large HTTP/1.1\" 413 0 "));
    for (part, expected) in [
        ("GET /head HTTP/1.1\r\nHost", "\"GET /head HTTP/1.1\" 408 0 "),
        ("GET /li", "\"GET /li\" 408 0 "),
        ("POST /body HTTP/1.1\r\nContent-Length: 5\r\n\r\nx", "\"POST /body HTTP/1.1\" 408 0 "),
    ] {
        let mark = server.out.mark();
        let mut client = server.connect();
        client.send(part);
        server.out.wait_for_since(mark, expected);
        client.read_to_end();
    }
}

/// The application does not come back, and the line does not wait for it.
fn given_up(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("supervised:app")
        .args(["--access-logfile", "-", "--request-timeout", "1"])
        .start();
    let mut client = server.connect();
    client.send("GET /sleep?3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = server.out.wait_for("/sleep");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("\"GET /sleep?3 HTTP/1.1\" 503 0 "), "{line}");
    assert_eq!(client.response().status, 503);
    // Not again when it does come back, and the worker goes.
    server.log.wait_for("Worker exiting");
    assert_eq!(server.out.text().matches("/sleep").count(), 1);
}

fn to_a_file(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:quiet");
    let path = builder.dir().join("access.log");
    let server = builder.args(["--access-logfile"]).args([&path]).start();
    let (first, second) = (server.get("/first"), server.get("/second"));
    assert_eq!((first.status, second.status), (200, 200));
    // The line is written before the connection ends, so both are there.
    let mut client = server.connect();
    client.send("GET /third HTTP/1.1\r\nConnection: close\r\n\r\n");
    client.read_to_end();
    let text = std::fs::read_to_string(path).expect("the log was written");
    let paths: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(6)).collect();
    assert_eq!(paths, ["/first", "/second", "/third"], "{text}");
    assert_eq!(server.out.text(), "");
}
