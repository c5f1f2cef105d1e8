//! What holds for the Flask example behind any proxy.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage};
use nix::sys::socket::{bind, connect, socket};

use crate::example::{EXAMPLES, Example};
use crate::harness::load::Load;
use crate::harness::{BOUND, Builder, Client, Response, Server, ServerKind, until, upload};

/// The address clients come from; that of the proxy is another one.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A proxy and the server behind it.
pub struct Site<'a> {
    pub server: &'a Server,
    /// Where the proxy takes HTTP.
    pub plain: SocketAddr,
    /// Where it takes HTTPS.
    pub secure: SocketAddr,
    pub upstream: Upstream,
}

/// Where the server listens.
pub enum Upstream {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Starts the Flask example as the comment of a configuration tells, where that says to listen.
#[track_caller]
pub fn start(builder: Builder, example: &Example) -> Server {
    builder
        .without_bind()
        .open_to_all()
        .chdir(format!("{EXAMPLES}/flask"))
        .args(["-w", "2"])
        .args(example.arguments())
        .start()
}

/// A builder whose directory is there to be named in configurations.
pub fn builder() -> Builder {
    Builder::new(ServerKind::Rgunicorn)
}

/// All of it.
pub fn check(site: &Site) {
    identity(site);
    upload(site);
    streaming(site);
    reload_under_load(site);
}

impl Site<'_> {
    /// A connection to the proxy, from [`CLIENT`].
    #[track_caller]
    fn connect(&self) -> Client {
        let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let fd = socket(AddressFamily::Inet, kind, flags, None).expect("a socket can be made");
        let [a, b, c, d] = CLIENT.octets();
        bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).expect("it is loopback");
        connect(fd.as_raw_fd(), &SockaddrStorage::from(self.plain)).expect("the proxy listens");
        Client::of(TcpStream::from(fd)).expect("options of a socket can be set")
    }

    /// The connections that the server has with the proxy.
    pub fn connections(&self) -> BTreeSet<String> {
        match &self.upstream {
            Upstream::Unix(path) => {
                let path = path.to_str().expect("a path in UTF-8");
                let table = fs::read_to_string("/proc/net/unix").expect("it is readable");
                let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
                // State 3 is connected; the sockets of the server's side bear its path.
                let found = words.filter(|w| w.len() == 8 && w[7] == path && w[5] == "03");
                found.map(|words| words[6].to_owned()).collect()
            }
            Upstream::Tcp(addr) => {
                let local = format!("0100007F:{:04X}", addr.port());
                let table = fs::read_to_string("/proc/net/tcp").expect("it is readable");
                let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
                // State 1 is established.
                let found = words.filter(|w| w.len() > 3 && w[1] == local && w[3] == "01");
                found.map(|words| words[2].to_owned()).collect()
            }
        }
    }
}

/// The application sees the client's address, the scheme and the host; what clients claim in headers counts for
/// nothing.
fn identity(site: &Site) {
    let mut client = site.connect();
    for claim in ["", "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n"] {
        client.send(format!("GET /who?a=b HTTP/1.1\r\nHost: example.com\r\n{claim}\r\n"));
        assert_who(&client.response().text(), "http://example.com/who?a=b");
    }
    let port = site.secure.port();
    let url = format!("https://example.com:{port}/who");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--max-time", "20"])
        .args(["--interface", &CLIENT.to_string()])
        .args(["--resolve", &format!("example.com:{port}:{}", site.secure.ip())])
        .args(["--header", "X-Forwarded-For: 192.0.2.9", "--header", "X-Forwarded-Proto: http"])
        .arg(&url)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot start curl: {error}; `tests/system/run` installs it")
        });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_who(&String::from_utf8_lossy(&output.stdout), &url);
}

#[track_caller]
fn assert_who(text: &str, url: &str) {
    let found: String = text.split_whitespace().collect();
    assert_eq!(found, format!(r#"{{"address":"{CLIENT}","url":"{url}"}}"#));
}

/// With its length, and in chunks.
fn upload(site: &Site) {
    let body = upload::body();
    let kind = upload::KIND;
    let head = format!("POST /upload HTTP/1.1\r\nHost: example.com\r\nContent-Type: {kind}\r\n");
    let mut client = site.connect();
    client.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.response().text(), upload::answer());
    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    for part in body.chunks(100_000) {
        client.send(format!("{:x}\r\n", part.len()));
        client.send(part);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), upload::answer());
}

/// Each piece comes when the application has made it, not with the last one.
fn streaming(site: &Site) {
    let mut client = site.connect();
    client.send("GET /events HTTP/1.1\r\nHost: example.com\r\n\r\n");
    client.wait_for(b"tick 0");
    assert!(!client.has(b"tick 4"), "everything came at once");
    let text = client.response().text();
    let wanted: Vec<String> = (0..5).map(|number| format!("data: tick {number}\n\n")).collect();
    assert_eq!(text, wanted.concat());
}

/// Requests of many clients go over few connections, which stay when a request is over.
pub fn shared_connections(site: &Site) {
    let mut all = BTreeSet::new();
    for _ in 0..80 {
        assert_eq!(get(&mut site.connect()).status, 200);
        let open = site.connections();
        assert!(!open.is_empty(), "no connection outlives its request");
        all.extend(open);
    }
    assert!(all.len() <= 10, "{} connections for 80 requests one by one", all.len());
}

/// Requests of one client go over one connection.
pub fn connection_of_a_client(site: &Site) {
    let mut client = site.connect();
    assert_eq!(get(&mut client).status, 200);
    let first = site.connections();
    for _ in 0..40 {
        assert_eq!(get(&mut client).status, 200);
    }
    let second = site.connections();
    assert!(!first.is_empty() && second.is_subset(&first), "{first:?}, later {second:?}");
}

fn get(client: &mut Client) -> Response {
    client.send("GET /who HTTP/1.1\r\nHost: example.com\r\n\r\n");
    client.response()
}

/// A file that the proxy has itself: the server has no part in it.
pub fn static_file(site: &Site) {
    let mut client = site.connect();
    client.send("GET /static/style.css HTTP/1.1\r\nHost: example.com\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), include_str!("../../examples/flask/static/style.css"));
    let server = response.header("Server").unwrap_or_default();
    assert!(server.starts_with("nginx"), "{server}");
}

/// Every request is answered with 200 while the server is told to reload, also those that a proxy must not repeat.
fn reload_under_load(site: &Site) {
    let load = Load::sending(site.plain, 8, |id, connection| {
        let body = r#"{"numbers": [1, 2, 39]}"#;
        format!(
            "POST /json?{id} HTTP/1.1\r\nHost: example.com\r\nConnection: {connection}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    for _ in 0..3 {
        load.wait_more(100);
        let before = site.server.workers();
        site.server.signal(Signal::SIGHUP);
        until(BOUND, "new workers", || {
            let now = site.server.workers();
            (now.len() == 2 && now.iter().all(|pid| !before.contains(pid))).then_some(())
        });
    }
    load.wait_more(100);
    let tally = load.finish();
    assert_eq!(tally.refused, 0);
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}
