//! The PROXY protocol, versions 1 and 2 (haproxy's `proxy-protocol.txt`). gunicorn departs from it in
//! places; there the cases say what each server does.

use super::{assert_seen, error_page, seen};
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Client, Response, Server, ServerKind};

on_both_servers!(either_version, one_version, forbidden, unix_socket, keep_alive, off, access_log);

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// 192.0.2.1:51234 to 198.51.100.2:443
const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 0x01, 0xbb];

/// A header of version 2.
fn v2(version_and_command: u8, family_and_protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short enough").to_be_bytes();
    [SIGNATURE, &[version_and_command, family_and_protocol], &length, rest].concat()
}

/// The application's answer to a request behind this header.
#[track_caller]
fn ask(server: &Server, header: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect();
    client.send([header.as_ref(), REQUEST.as_bytes()].concat());
    client.response()
}

/// The five values, `None` for one that is missing or not a string.
#[track_caller]
fn facts(response: &Response) -> [Option<String>; 5] {
    ["PROXY_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "PROXY_ADDR", "PROXY_PORT"].map(|name| {
        let value = seen(response, name)?;
        Some(value.trim_matches('\'').to_owned())
    })
}

#[track_caller]
fn assert_facts(response: &Response, wanted: [&str; 5]) {
    assert_eq!(facts(response), wanted.map(|text| Some(text.to_owned())));
}

const TCP4: [&str; 5] = ["TCP4", "192.0.2.1", "51234", "198.51.100.2", "443"];
const TCP6: [&str; 5] = ["TCP6", "2001:db8::1", "1234", "2001:db8::2", "80"];

fn either_version(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--proxy-protocol"]).start();
    cases!(&server;
        lines,
        binary_headers,
        no_header,
        lines_refused,
        unknown_protocol,
        no_addresses,
        binary_headers_refused,
        byte_by_byte,
        the_peer_is_trusted_not_the_client,
    );
}

fn lines(server: &Server) {
    assert_facts(&ask(server, V1), TCP4);
    assert_facts(&ask(server, "PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n"), TCP6);
    // An empty line may still come before the request line.
    assert_facts(&ask(server, format!("{V1}\r\n")), TCP4);
}

fn binary_headers(server: &Server) {
    assert_facts(&ask(server, v2(0x21, 0x11, &IPV4)), TCP4);
    // Fields of further types are skipped.
    let more = [&IPV4[..], &[1, 0, 2, b'h', b'2', 4, 0, 0]].concat();
    assert_facts(&ask(server, v2(0x21, 0x11, &more)), TCP4);
    let mut addresses = Vec::new();
    for last in [1, 2] {
        addresses.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    addresses.extend([0x04, 0xd2, 0, 80]);
    assert_facts(&ask(server, v2(0x21, 0x21, &addresses)), TCP6);
}

fn no_header(server: &Server) {
    let response = ask(server, "");
    assert_seen(&response, "REMOTE_ADDR", "'127.0.0.1'");
    for name in ["PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT"] {
        assert_eq!(seen(&response, name), None, "{name}");
    }
    let got = server.exchange("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(got.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
}

/// Sends a header that is to be refused with status 400; the text of the page between its quotes is
/// what the log says.
#[track_caller]
fn assert_refused(server: &Server, header: impl AsRef<[u8]>, cause: &str) {
    let mark = server.log.mark();
    let got = server.exchange([header.as_ref(), REQUEST.as_bytes()].concat());
    let wanted = error_page("400 Bad Request", &format!("'{cause}'"));
    assert_eq!(String::from_utf8_lossy(&got), wanted);
    // The line of the request before may come late.
    let line =
        server.log.wait_for_since(mark, &format!("Invalid request from ip=127.0.0.1: {cause}"));
    assert!(line.contains("[WARNING]") && line.ends_with(cause), "{line}");
}

fn lines_refused(server: &Server) {
    for line in [
        "PROXY TCP4",
        "PROXY TCP4 192.0.2.1 198.51.100.2 51234",
        "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443 1",
        "PROXY TCP4  192.0.2.1 198.51.100.2 51234 443",
        "PROXY TCP4 192.0.2.256 198.51.100.2 51234 443",
        "PROXY TCP4 ::1 ::1 51234 443",
        "PROXY TCP6 192.0.2.1 198.51.100.2 51234 443",
        "PROXY UDP4 192.0.2.1 198.51.100.2 51234",
    ] {
        let cause = format!("Invalid PROXY line: '{line}'");
        assert_refused(server, format!("{line}\r\n"), &cause);
    }
    for port in ["65536", "-1", "x", ""] {
        let line = format!("PROXY TCP4 192.0.2.1 198.51.100.2 51234 {port}");
        let cause = format!("Invalid PROXY line: 'invalid port {line}'");
        assert_refused(server, format!("{line}\r\n"), &cause);
    }
    let cause = "Invalid PROXY line: \"protocol 'UDP4' not supported\"";
    assert_refused(server, "PROXY UDP4 192.0.2.1 198.51.100.2 51234 443\r\n", cause);
    // The standard allows neither signs nor leading zeros, and 107 bytes; gunicorn is not so strict.
    let odd = [
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 080 443\r\n",
    ];
    for line in odd {
        let got = server.exchange([line, REQUEST].concat());
        let refused = got.starts_with(b"HTTP/1.1 400 Bad Request\r\n");
        assert_eq!(refused, server.kind.is_rgunicorn(), "{line:?}");
    }
}

/// The standard demands that the line is accepted and the connection's own addresses are kept;
/// gunicorn refuses it.
fn unknown_protocol(server: &Server) {
    for rest in ["", " ffff:f...f:ffff ffff:f...f:ffff 65535 65535"] {
        let line = format!("PROXY UNKNOWN{rest}\r\n");
        if server.kind.is_rgunicorn() {
            assert_own_addresses(&ask(server, line), "UNKNOWN");
        } else {
            let got = server.exchange([line.as_str(), REQUEST].concat());
            assert!(got.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        }
    }
}

#[track_caller]
fn assert_own_addresses(response: &Response, protocol: &str) {
    let [word, address, port, proxy_address, proxy_port] = facts(response);
    assert_eq!(word.as_deref(), Some(protocol));
    assert_eq!(address.as_deref(), Some("127.0.0.1"));
    assert!(port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)));
    assert_eq!((proxy_address, proxy_port), (None, None));
}

/// Health checks, and clients whose address the load balancer does not know: the standard says that
/// those of the connection hold. In gunicorn the address is None and the port "None".
fn no_addresses(server: &Server) {
    for (header, word) in [
        (v2(0x20, 0x00, b""), "LOCAL"),
        (v2(0x20, 0x11, &IPV4), "LOCAL"),
        (v2(0x21, 0x01, b"whatever"), "UNSPEC"),
    ] {
        let response = ask(server, header);
        if server.kind.is_rgunicorn() {
            assert_own_addresses(&response, word);
        } else {
            let none = Some("None".to_owned());
            assert_eq!(facts(&response), [Some(word.to_owned()), None, none.clone(), None, none]);
        }
    }
}

/// gunicorn answers 500, as if the application had failed.
fn binary_headers_refused(server: &Server) {
    for (header, what) in [
        (v2(0x11, 0x11, &IPV4), "unsupported version 1"),
        (v2(0x22, 0x11, &IPV4), "unsupported command 2"),
        (v2(0x21, 0x12, &IPV4), "only TCP protocol is supported"),
        (v2(0x21, 0x31, &[0; 216]), "unsupported address family 3"),
        (v2(0x21, 0x11, &IPV4[..11]), "insufficient address data for IPv4"),
        (v2(0x21, 0x21, &IPV4), "insufficient address data for IPv6"),
    ] {
        if server.kind.is_rgunicorn() {
            assert_refused(server, header, &format!("Invalid PROXY header: {what}"));
        } else {
            let got = server.exchange([&header[..], REQUEST.as_bytes()].concat());
            assert_eq!(
                String::from_utf8_lossy(&got),
                error_page("500 Internal Server Error", ""),
                "{what}"
            );
        }
    }
    // No more than 4096 bytes of extensions; gunicorn takes what the length can say.
    let large = v2(0x21, 0x11, &[&IPV4[..], &[0; 5000]].concat());
    let got = server.exchange([&large[..], REQUEST.as_bytes()].concat());
    let refused = got.starts_with(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(refused, server.kind.is_rgunicorn());
}

fn byte_by_byte(server: &Server) {
    for header in [V1.as_bytes().to_vec(), v2(0x21, 0x11, &IPV4)] {
        let mut client = server.connect();
        for byte in header.iter().chain(REQUEST.as_bytes()) {
            client.send([*byte]);
        }
        assert_facts(&client.response(), TCP4);
    }
}

/// `forwarded_allow_ips` is about who is on the line, whatever that one says of others.
fn the_peer_is_trusted_not_the_client(server: &Server) {
    let mut client = server.connect();
    client.send(format!(
        "{V1}GET / HTTP/1.1\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\r\n"
    ));
    let response = client.response();
    assert_seen(&response, "wsgi.url_scheme", "'https'");
    assert_seen(&response, "REMOTE_ADDR", "'192.0.2.1'");
}

/// The header [`V1`] was read as a request line.
#[track_caller]
fn assert_is_no_request(got: &[u8]) {
    let message = "Invalid Request Line \
                   'Invalid HTTP request line: 'PROXY TCP4 192.0.2.1 198.51.100.2 51234 443''";
    assert_eq!(String::from_utf8_lossy(got), error_page("400 Bad Request", message));
}

fn one_version(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--proxy-protocol", "v1"]).start();
    assert_facts(&ask(&server, V1), TCP4);
    let got = server.exchange([&v2(0x21, 0x11, &IPV4)[..], REQUEST.as_bytes()].concat());
    let message = "Invalid Request Line 'Invalid HTTP request line: '''";
    assert_eq!(String::from_utf8_lossy(&got), error_page("400 Bad Request", message));
    drop(server);

    let server = Builder::new(kind).app("echo:app").args(["--proxy-protocol", "v2"]).start();
    assert_facts(&ask(&server, v2(0x21, 0x11, &IPV4)), TCP4);
    let got = server.exchange([V1, REQUEST].concat());
    assert_is_no_request(&got);
}

fn forbidden(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--proxy-protocol", "auto", "--proxy-allow-from", "10.0.0.0/8"])
        .start();
    for header in [V1.into(), b"PROXY nonsense\r\n".to_vec(), v2(0x21, 0x11, &IPV4)] {
        let mark = server.log.mark();
        let got = server.exchange([&header[..], REQUEST.as_bytes()].concat());
        let wanted = error_page("403 Forbidden", "Request forbidden");
        assert_eq!(String::from_utf8_lossy(&got), wanted);
        let cause = "Proxy request from '127.0.0.1' not allowed";
        let line = server.log.wait_for_since(mark, "Invalid request from ip=127.0.0.1: ");
        assert!(line.contains("[WARNING]") && line.ends_with(cause), "{line}");
    }
    assert_seen(&ask(&server, ""), "REMOTE_ADDR", "'127.0.0.1'");
}

/// Whoever can open the socket may send a header.
fn unix_socket(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:app").args([
        "--proxy-protocol",
        "auto",
        "--proxy-allow-from",
        "",
    ]);
    let path = builder.dir().join("web.sock");
    let _server = builder.binding(&format!("unix:{}", path.display())).start();
    let mut client = Client::connect_unix(&path);
    client.send([V1, REQUEST].concat());
    assert_facts(&client.response(), TCP4);
}

/// The header comes once and is for all requests of the connection. gunicorn's gthread worker forgets
/// it after the first.
fn keep_alive(kind: ServerKind) {
    let server =
        Builder::new(kind).app("echo:app").keeping_alive().args(["--proxy-protocol=auto"]).start();
    let mut client = server.connect();
    client.send(format!("{V1}GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_facts(&client.response(), TCP4);
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let second = client.response();
    if kind.is_rgunicorn() {
        assert_facts(&second, TCP4);
    } else {
        assert_seen(&second, "REMOTE_ADDR", "'127.0.0.1'");
        assert_eq!(seen(&second, "PROXY_PROTOCOL"), None);
    }
    // It is not one in front of another request.
    client.send([V1, REQUEST].concat());
    let got = client.read_to_end();
    assert_is_no_request(&got);
}

fn off(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    let got = server.exchange([V1, REQUEST].concat());
    assert_is_no_request(&got);
}

fn access_log(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--proxy-protocol=auto", "--access-logfile", "-"])
        .args(["--access-logformat", "%(h)s %({PROXY_ADDR}e)s %(U)s"])
        .start();
    ask(&server, V1);
    server.out.wait_for("192.0.2.1 198.51.100.2 /");
}
