//! Websockets as applications use them, with flask-sock (RFC 6455).

use super::request;
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Client, Server, ServerKind};

on_both_servers!(flask_sock);

fn flask_sock(kind: ServerKind) {
    let server = Builder::new(kind).app("sockets:app").keeping_alive().start();
    cases!(&server; echo, server_closes, no_websocket, client_vanishes);
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("Traceback"), "{log}");
    assert_eq!(log.matches("Booting worker").count(), 1, "{log}");
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The client's half of the protocol, as far as it takes to talk to a server that behaves.
struct WebSocket(Client);

impl WebSocket {
    #[track_caller]
    fn open(server: &Server, target: &str) -> Self {
        let mut client = server.connect();
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        let response = client.response_to("HEAD");
        assert_eq!(response.status, 101);
        // The pair of key and answer from section 1.3.
        let accept = response.header("Sec-WebSocket-Accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Self(client)
    }

    /// Sends one frame, masked as those of clients are.
    #[track_caller]
    fn send(&mut self, kind: u8, payload: &[u8]) {
        const MASK: [u8; 4] = [7, 77, 177, 17];
        let mut frame = vec![0x80 | kind];
        match u16::try_from(payload.len()).expect("short payloads") {
            length @ 0..126 => frame.extend([0x80 | u8::try_from(length).unwrap_or(0)]),
            length => {
                frame.push(0xfe);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.send(frame);
    }

    /// Kind and payload of the next frame.
    #[track_caller]
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let head = self.0.read_exactly(2);
        assert_eq!(head[0] & 0xf0, 0x80, "a whole message in one frame");
        let length = match head[1] {
            length @ 0..126 => usize::from(length),
            126 => {
                let length = self.0.read_exactly(2);
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            other => panic!("length {other} of a server's frame"),
        };
        (head[0] & 0x0f, self.0.read_exactly(length))
    }

    #[track_caller]
    fn assert_echo(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
        let (kind, payload) = self.receive();
        assert_eq!((kind, String::from_utf8_lossy(&payload).as_ref()), (TEXT, text));
    }
}

const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

fn echo(server: &Server) {
    let mut socket = WebSocket::open(server, "/echo");
    socket.assert_echo("hello");
    socket.assert_echo(&"long ".repeat(2000));
    socket.assert_echo("gr\u{fc}\u{df}e");
    socket.send(PING, b"there?");
    assert_eq!(socket.receive(), (PONG, b"there?".to_vec()));
    socket.send(CLOSE, &NORMAL);
    assert_eq!(socket.receive(), (CLOSE, NORMAL.to_vec()));
    socket.0.assert_closed();
}

fn server_closes(server: &Server) {
    let mut socket = WebSocket::open(server, "/farewell");
    socket.send(TEXT, b"me");
    assert_eq!(socket.receive(), (TEXT, b"bye, me".to_vec()));
    assert_eq!(socket.receive(), (CLOSE, NORMAL.to_vec()));
    drop(socket);
    assert_eq!(server.get("/").text(), "page");
}

/// Pages and websockets are served next to each other.
fn no_websocket(server: &Server) {
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(request("/"));
        assert_eq!(client.response().text(), "page");
    }
}

fn client_vanishes(server: &Server) {
    let mut socket = WebSocket::open(server, "/echo");
    socket.assert_echo("hello");
    drop(socket);
    assert_eq!(server.get("/").text(), "page");
}
