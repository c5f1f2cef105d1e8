//! A raw HTTP/1 client: it sends the bytes it is given and reads exactly one response at a time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
use nix::sys::socket::{connect, setsockopt, socket};

use super::wait::BOUND;

trait Stream: Read + Write + Send {
    fn end_sending(&self) -> io::Result<()>;
    fn bound_reads(&self, bound: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn bound_reads(&self, bound: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(bound))
    }
}

impl Stream for UnixStream {
    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn bound_reads(&self, bound: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(bound))
    }
}

/// A connection, with whatever was read beyond the last response.
pub struct Client {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"))
    }

    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        Self::of(TcpStream::connect_timeout(&addr, BOUND)?)
    }

    /// A client whose system keeps next to nothing for it that it has not read.
    #[track_caller]
    pub fn connect_narrow(addr: SocketAddr) -> Self {
        let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let fd = socket(AddressFamily::Inet, kind, flags, None).expect("a socket can be made");
        // Before it is connected, so that the window is small from the start.
        setsockopt(&fd, sockopt::RcvBuf, &4096).expect("the receive buffer can be set");
        connect(fd.as_raw_fd(), &SockaddrStorage::from(addr))
            .unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"));
        Self::of(TcpStream::from(fd)).expect("options of a socket can be set")
    }

    /// A client on a connection that is made already.
    pub fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(BOUND))?;
        stream.set_write_timeout(Some(BOUND))?;
        Ok(Self { stream: Box::new(stream), unread: Vec::new() })
    }

    #[track_caller]
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path);
        Self::of_unix(
            stream.unwrap_or_else(|error| panic!("cannot connect to {}: {error}", path.display())),
        )
    }

    /// To a socket in the abstract name space, for instance.
    #[track_caller]
    pub fn of_unix(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
        stream.set_write_timeout(Some(BOUND)).expect("a timeout can be set");
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes what is sent");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends this side of the connection: the server reads end-of-file.
    #[track_caller]
    pub fn end_sending(&mut self) {
        self.stream.end_sending().expect("the connection is still open");
    }

    /// GET on this connection, which the server is asked to close.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        self.response()
    }

    /// Waits until these bytes have come, without taking them.
    #[track_caller]
    pub fn wait_for(&mut self, bytes: &[u8]) {
        while !self.has(bytes) {
            self.fill().unwrap_or_else(|error| panic!("no {bytes:?}: {error}"));
        }
    }

    /// Whether these bytes are among those that have come and were not taken.
    pub fn has(&self, bytes: &[u8]) -> bool {
        find(&self.unread, bytes).is_some()
    }

    /// Reads the response to a request that was not HEAD.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response("GET").unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// Reads the response to a request with this method.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// Reads the response to a request with this method.
    ///
    /// `UnexpectedEof` if the connection ends before the response does.
    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        while find(&self.unread, b"\r\n\r\n").is_none() {
            self.fill()?;
        }
        let end = find(&self.unread, b"\r\n\r\n").expect("just found") + 4;
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let mut response = Response::parse_head(&head)?;
        let bodyless = method == "HEAD" || matches!(response.status, 100..200 | 204 | 304);
        if bodyless {
            return Ok(response);
        }
        if response.header("Transfer-Encoding").is_some_and(|value| value == "chunked") {
            self.read_chunks(&mut response)?;
        } else if let Some(length) = response.header("Content-Length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            response.body = self.take(length)?;
        } else {
            response.body = self.try_read_to_end()?;
        }
        Ok(response)
    }

    fn read_chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            while find(&self.unread, b"\r\n").is_none() {
                self.fill()?;
            }
            let end = find(&self.unread, b"\r\n").expect("just found");
            let line: Vec<u8> = self.unread.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&line[..end]).into_owned();
            let size = usize::from_str_radix(&text, 16).map_err(io::Error::other)?;
            let mut chunk = self.take(size + 2)?;
            if chunk.split_off(size) != b"\r\n" {
                return Err(io::Error::other("chunk without its CRLF"));
            }
            if size == 0 {
                return Ok(());
            }
            response.body.extend_from_slice(&chunk);
            response.chunks.push(chunk);
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.fill()?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Waits for more bytes; `UnexpectedEof` if the connection ends instead.
    pub fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16384];
        let count = self.stream.read(&mut chunk)?;
        if count == 0 {
            let message = format!("closed after {:?}", String::from_utf8_lossy(&self.unread));
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.unread.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// Whether for so long nothing comes, not even the end of the connection. What comes is kept.
    #[track_caller]
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        if !self.unread.is_empty() {
            return false;
        }
        self.stream.bound_reads(time).expect("a timeout can be set");
        let came = self.fill();
        self.stream.bound_reads(BOUND).expect("a timeout can be set");
        came.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Takes what has come and waits for exactly so many bytes in all.
    #[track_caller]
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        self.take(count).unwrap_or_else(|error| panic!("no {count} bytes: {error}"))
    }

    /// Everything until the server closes.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        self.try_read_to_end().expect("the server closes the connection")
    }

    pub fn try_read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.unread);
        self.stream.read_to_end(&mut all)?;
        Ok(all)
    }

    /// Fails unless the server closes the connection without another byte.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        let rest = self.read_to_end();
        assert_eq!(String::from_utf8_lossy(&rest), "", "bytes where the connection should end");
    }
}

/// One response as it came over the wire.
#[derive(Debug, Default)]
pub struct Response {
    /// `HTTP/1.1`
    pub version: String,
    pub status: u16,
    pub reason: String,
    /// In order, case kept.
    pub headers: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub body: Vec<u8>,
    /// The chunks one by one, without the last empty one.
    pub chunks: Vec<Vec<u8>>,
}

impl Response {
    /// Parses a whole response that was read until the connection ended.
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Self {
        let end = find(bytes, b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no response in {:?}", String::from_utf8_lossy(bytes)));
        let mut response = Self::parse_head(&bytes[..end + 4]).expect("the head is well-formed");
        response.body = bytes[end + 4..].to_vec();
        response
    }

    fn parse_head(head: &[u8]) -> io::Result<Self> {
        let bad = || io::Error::other(format!("bad head {:?}", String::from_utf8_lossy(head)));
        // Latin-1, as header fields are.
        let text: String = head.iter().copied().map(char::from).collect();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut words = lines.next().ok_or_else(bad)?.splitn(3, ' ');
        let version = words.next().ok_or_else(bad)?.to_owned();
        let status = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let reason = words.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(": ").map(|(name, value)| (name.into(), value.into())))
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        Ok(Self { version, status, reason, headers, ..Self::default() })
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// All headers of this name, in any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The names of the headers in the order they were sent.
    pub fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
