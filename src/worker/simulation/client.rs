//! A client: sends requests as it likes, and checks what comes back.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, getpeername, socket,
};

use crate::sys::socket::{Io, recv, send, shutdown_write};

/// A response that may not fit into the buffers of the kernel.
pub const LARGE: usize = 300_000;

/// What a client may ask for.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Plain,
    Length(usize),
    Chunked,
    Continue,
    Close,
}

#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Client {
    pub id: u64,
    fd: OwnedFd,
    /// Written as soon as the client likes to.
    pending: Vec<u8>,
    /// Bytes of `pending` up to the end of each request.
    ends: VecDeque<usize>,
    /// Requests asked for, sent whole, begun by a slot, ended by a slot, answered.
    asked: u64,
    pub whole: u64,
    pub started: u64,
    pub ended: u64,
    pub answered: u64,
    /// Part of a request was sent.
    partial: bool,
    /// Sizes of the responses to come.
    sizes: VecDeque<usize>,
    input: Vec<u8>,
    /// It asks for nothing more: it has said so, or the server has.
    last: bool,
    /// Somebody was told that the connection ends.
    pub closing: bool,
    /// Its worker was killed.
    pub lost: bool,
    /// Its connection was accepted.
    pub known: bool,
    /// Since when its request has been on the way from one worker to another.
    pub since: Option<u64>,
}

/// The bytes of a body, which tell of what request it is.
pub fn body(id: u64, number: u64, size: usize) -> Vec<u8> {
    let mut body = format!("{id}/{number}/").into_bytes();
    body.resize(body.len().max(size), b'x');
    body
}

impl Client {
    pub fn connect(id: u64, path: &std::path::Path) -> Self {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a socket");
        let name = format!("rgunicorn-simulation-{}-{id}", std::process::id());
        let own = UnixAddr::new_abstract(name.as_bytes()).expect("a short name");
        bind(fd.as_raw_fd(), &own).expect("a free name");
        let address = UnixAddr::new(path).expect("a short path");
        connect(fd.as_raw_fd(), &address).expect("room in the backlog");
        Self {
            id,
            fd,
            pending: Vec::new(),
            ends: VecDeque::new(),
            asked: 0,
            whole: 0,
            started: 0,
            ended: 0,
            answered: 0,
            partial: false,
            sizes: VecDeque::new(),
            input: Vec::new(),
            last: false,
            closing: false,
            lost: false,
            known: false,
            since: None,
        }
    }

    /// The client at the other end of a connection.
    pub fn of(stream: BorrowedFd<'_>) -> u64 {
        let peer: UnixAddr = getpeername(stream.as_raw_fd()).expect("a connection");
        let name = peer.as_abstract().expect("a client of ours");
        let id = name.rsplit(|&byte| byte == b'-').next().expect("a number");
        std::str::from_utf8(id).expect("a number").parse().expect("a number")
    }

    pub fn may_ask(&self) -> bool {
        !self.last && !self.lost && self.asked - self.answered < 6
    }

    /// Puts a request behind what is to be sent.
    pub fn ask(&mut self, kind: Kind, size: usize) {
        let (id, number) = (self.id, self.asked);
        self.asked += 1;
        self.sizes.push_back(size);
        let target = format!("/{id}/{number}/{size}");
        let request = match kind {
            Kind::Plain => format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Kind::Close => {
                self.last = true;
                format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            }
            Kind::Length(_) | Kind::Chunked | Kind::Continue => {
                let length = if let Kind::Length(length) = kind { length } else { 0 };
                let body = String::from_utf8(body(id, number, length)).expect("text");
                let length = body.len();
                let (framing, body) = match kind {
                    Kind::Chunked => (
                        "Transfer-Encoding: chunked".to_owned(),
                        format!("{length:x}\r\n{body}\r\n0\r\n\r\n"),
                    ),
                    Kind::Continue => {
                        (format!("Expect: 100-continue\r\nContent-Length: {length}"), body)
                    }
                    _ => (format!("Content-Length: {length}"), body),
                };
                format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}")
            }
        };
        self.pending.extend_from_slice(request.as_bytes());
        self.ends.push_back(self.pending.len());
    }

    pub fn unsent(&self) -> usize {
        self.pending.len()
    }

    /// Sends at most so many bytes.
    pub fn send(&mut self, count: usize) {
        let count = count.min(self.pending.len());
        if count == 0 {
            return;
        }
        let sent = match send(self.fd.as_fd(), &self.pending[..count]) {
            Io::Done(sent) => sent,
            Io::WouldBlock => return,
            // What the server has to say is read next.
            Io::Failed(_) => {
                self.pending.clear();
                self.ends.clear();
                self.last = true;
                return;
            }
        };
        self.pending.drain(..sent);
        for end in &mut self.ends {
            *end = end.saturating_sub(sent);
        }
        while self.ends.front() == Some(&0) {
            self.ends.pop_front();
            self.whole += 1;
        }
        self.partial = !self.pending.is_empty() && !self.at_border();
    }

    /// Whether the next byte is the first of a request.
    fn at_border(&self) -> bool {
        self.pending.starts_with(b"GET /") || self.pending.starts_with(b"POST /")
    }

    /// Says that nothing more will be sent.
    pub fn shut(&mut self) {
        if self.pending.is_empty() {
            self.last = true;
            shutdown_write(self.fd.as_fd());
        }
    }

    /// Whether all it has sent is answered.
    pub fn is_content(&self) -> bool {
        self.pending.is_empty() && self.answered == self.whole
    }

    /// Whether nothing is under way on its connection.
    pub fn is_idle(&self) -> bool {
        self.is_content() && !self.partial && !self.last && !self.lost
    }

    /// Whether a complete request of it should be with a slot.
    pub fn waits(&self) -> bool {
        let in_service = self.started > self.ended;
        let under_way = usize::try_from(self.started - self.answered).expect("few");
        // Its answers do not leave while it does not read them.
        let blocked = self.sizes.iter().take(under_way).any(|&size| size >= LARGE / 2);
        self.whole > self.started && !in_service && !blocked && !self.lost && !self.closing
    }

    /// Reads what there is. `false`: the server has closed the connection, as it may, idle ones only
    /// if their number is limited.
    pub fn read(&mut self, limited: bool) -> bool {
        let mut buffer = [0; 16 << 10];
        let mut open = true;
        loop {
            match recv(self.fd.as_fd(), &mut buffer) {
                Io::Done(0) | Io::Failed(_) => {
                    open = false;
                    break;
                }
                Io::Done(count) => self.input.extend_from_slice(&buffer[..count]),
                Io::WouldBlock => break,
            }
        }
        while self.take_answer() {}
        if !open && !self.lost && !self.closing {
            assert_eq!(self.answered, self.whole, "{self}: a request without answer");
            assert!(!self.partial, "client {}: closed within a request", self.id);
            assert!(limited || self.last, "client {}: closed while idle", self.id);
        }
        open
    }

    /// Takes an answer from the input, if there is one.
    fn take_answer(&mut self) -> bool {
        let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        let head = String::from_utf8_lossy(&self.input[..end]).to_ascii_lowercase();
        let behind = end + 4;
        if head.starts_with("http/1.1 100") {
            self.input.drain(..behind);
            return true;
        }
        assert!(head.starts_with("http/1.1 200"), "client {}: {head}", self.id);
        let (_, length) = head.split_once("content-length: ").expect("a length");
        let length: usize = length.split("\r\n").next().expect("a line").parse().expect("a number");
        if self.input.len() < behind + length {
            return false;
        }
        let size = self.sizes.pop_front().expect("an answer without request");
        assert_eq!(self.input[behind..behind + length], body(self.id, self.answered, size));
        self.input.drain(..behind + length);
        self.answered += 1;
        if head.contains("connection: close") {
            self.closing = true;
            self.last = true;
        }
        assert!(self.answered <= self.ended, "answered before it was");
        true
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, whole, started, ended, answered, known, .. } = self;
        write!(
            f,
            "client {id} ({whole} sent, {started} begun, {ended} ended, {answered} answered"
        )?;
        let left = self.pending.len();
        write!(f, ", {left} bytes to send, accepted: {known}, lost: {})", self.lost)
    }
}
