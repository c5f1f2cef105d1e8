//! Why a request is refused: status, reason and the texts for the log and for the page.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{pages, quote};

/// Load comes and goes: the shortest time that can be named (RFC 9110 section 10.2.3).
const RETRY_AFTER: &str = "Retry-After: 1\r\n";

/// What was wrong, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectKind {
    /// The request line does not have the form `method SP target SP version`.
    RequestLine,
    /// The method is not one that is accepted.
    Method,
    /// The version is not HTTP/1.x.
    Version,
    /// The request line is longer than allowed.
    LineTooLong,
    /// A header or trailer line, its value or the message framing is invalid.
    Field,
    /// The name of a header or trailer is invalid or not allowed there.
    FieldName,
    /// A header line continues on the next one (obs-fold).
    Folding,
    /// Too many header fields, or one is too long.
    FieldsTooLarge,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// A trusted peer sent scheme headers that contradict each other.
    Scheme,
    /// A transfer coding this server does not know.
    TransferCoding,
    /// The chunked framing of the body is invalid.
    Chunk,
    /// The path does not start with the configured `SCRIPT_NAME`.
    ScriptName,
    /// The PROXY header is invalid.
    Proxy,
    /// The peer may not send a PROXY header.
    ProxyForbidden,
    /// The client was too slow.
    Timeout,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// There is no room for the body.
    Storage,
    /// No slot was free for too long.
    Overload,
    /// The application takes too long.
    Overdue,
}

/// A request that is answered with an error page, after which the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub kind: RejectKind,
    /// Status code of the answer.
    pub status: u16,
    /// Reason phrase of the answer; also the title of the page.
    pub reason: &'static str,
    /// For the log line `Invalid request from ip=IP: {message}`. Bytes of the client are in it as
    /// Python's `repr` shows latin-1 text.
    pub message: String,
    /// Whether an access line is due: the head was understood well enough to be a request.
    pub has_request: bool,
}

impl Reject {
    fn new(kind: RejectKind, message: String) -> Self {
        let (status, reason) = match kind {
            RejectKind::LineTooLong => (414, "URI Too Long"),
            RejectKind::FieldsTooLarge => (431, "Request Header Fields Too Large"),
            RejectKind::Expectation => (417, "Expectation Failed"),
            // These two reasons are gunicorn's.
            RejectKind::TransferCoding => (501, "Bad Request"),
            RejectKind::ScriptName => (500, "Bad Request"),
            RejectKind::ProxyForbidden => (403, "Forbidden"),
            RejectKind::Timeout => (408, "Request Timeout"),
            RejectKind::BodyTooLarge => (413, "Content Too Large"),
            RejectKind::Storage => (507, "Insufficient Storage"),
            RejectKind::Overload | RejectKind::Overdue => (503, "Service Unavailable"),
            _ => (400, "Bad Request"),
        };
        Self { kind, status, reason, message, has_request: false }
    }

    /// The refusal of a request whose raw path does not start with `SCRIPT_NAME`.
    #[must_use]
    pub fn script_name(path: &[u8], script_name: &[u8]) -> Self {
        let (path, script_name) = (quote::text(path), quote::text(script_name));
        Self::new(
            RejectKind::ScriptName,
            format!(
                "Configuration problem: Request path {path} does not start with SCRIPT_NAME \
                 {script_name}"
            ),
        )
        .with_request()
    }

    /// The refusal of a head that has not arrived in full `seconds` after its first byte.
    #[must_use]
    pub fn head_timeout(seconds: u64) -> Self {
        Self::new(
            RejectKind::Timeout,
            format!("The head of the request did not arrive within {seconds} s"),
        )
    }

    /// The refusal of a request of whose body nothing has arrived for `seconds`.
    #[must_use]
    pub fn body_timeout(seconds: u64) -> Self {
        Self::new(
            RejectKind::Timeout,
            format!("Nothing of the body of the request arrived for {seconds} s"),
        )
        .with_request()
    }

    /// The refusal of a request whose body has more than `limit` bytes.
    #[must_use]
    pub fn body_too_large(limit: u64) -> Self {
        Self::new(
            RejectKind::BodyTooLarge,
            format!("The body of the request is larger than {limit} bytes"),
        )
        .with_request()
    }

    /// The refusal of a request whose body cannot be put into a file. `problem` is for the log alone.
    #[must_use]
    pub fn no_storage(problem: &str) -> Self {
        Self::new(
            RejectKind::Storage,
            format!("The body of the request cannot be stored: {problem}"),
        )
        .with_request()
    }

    /// The refusal of a request that has waited too long to be taken.
    #[must_use]
    pub fn overloaded(waited: Duration) -> Self {
        Self::new(
            RejectKind::Overload,
            format!("No thread was free for {:.3} s (max_queue_time)", waited.as_secs_f64()),
        )
        .with_request()
    }

    /// The end of a request that the application does not come back from.
    #[must_use]
    pub fn request_timeout() -> Self {
        Self::new(RejectKind::Overdue, "The request took too long".to_owned()).with_request()
    }

    /// The refusal of a PROXY header from a peer that may not send one.
    #[must_use]
    pub fn proxy_forbidden(peer: IpAddr) -> Self {
        Self::new(RejectKind::ProxyForbidden, format!("Proxy request from '{peer}' not allowed"))
    }

    /// The text of the page, not yet escaped.
    #[must_use]
    pub fn page_message(&self) -> String {
        let message = &self.message;
        match self.kind {
            RejectKind::RequestLine => format!("Invalid Request Line '{message}'"),
            RejectKind::Method => format!("Invalid Method '{message}'"),
            RejectKind::Version => format!("Invalid HTTP Version '{message}'"),
            RejectKind::FieldsTooLarge => format!("Error parsing headers: '{message}'"),
            RejectKind::Proxy => format!("'{message}'"),
            RejectKind::ProxyForbidden => "Request forbidden".to_owned(),
            RejectKind::Storage => "There is no room for the body of the request".to_owned(),
            RejectKind::Overload => "The server is busy, please try again".to_owned(),
            _ => message.clone(),
        }
    }

    /// The complete answer, head included.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        let extra = if self.kind == RejectKind::Overload { RETRY_AFTER } else { "" };
        pages::error_page_with(self.status, self.reason, &self.page_message(), extra)
    }

    pub(super) fn with_request(mut self) -> Self {
        self.has_request = true;
        self
    }

    pub(super) fn request_line(line: &[u8]) -> Self {
        Self::new(
            RejectKind::RequestLine,
            format!("Invalid HTTP request line: {}", quote::text(line)),
        )
    }

    pub(super) fn method(method: &[u8]) -> Self {
        Self::new(RejectKind::Method, format!("Invalid HTTP method: {}", quote::text(method)))
    }

    pub(super) fn version(text: &str) -> Self {
        Self::new(RejectKind::Version, format!("Invalid HTTP Version: {text}"))
    }

    pub(super) fn line_too_long(size: usize, limit: usize) -> Self {
        Self::new(RejectKind::LineTooLong, format!("Request Line is too large ({size} > {limit})"))
    }

    /// `what` is the line, the name in upper case, or a remark.
    pub(super) fn field(what: &[u8]) -> Self {
        Self::new(RejectKind::Field, format!("Invalid HTTP Header: {}", quote::text(what)))
    }

    pub(super) fn field_name(name: &[u8]) -> Self {
        Self::new(RejectKind::FieldName, format!("Invalid HTTP header name: {}", quote::text(name)))
    }

    pub(super) fn folding(name: &[u8]) -> Self {
        Self::new(
            RejectKind::Folding,
            format!("Obsolete line folding is unacceptable: {}", quote::text(name)),
        )
    }

    pub(super) fn fields_too_large(what: &str) -> Self {
        Self::new(RejectKind::FieldsTooLarge, what.to_owned())
    }

    pub(super) fn expectation(value: &[u8]) -> Self {
        Self::new(
            RejectKind::Expectation,
            format!("Unable to comply with expectation: {}", quote::text(value)),
        )
    }

    pub(super) fn scheme() -> Self {
        Self::new(RejectKind::Scheme, "Contradictory scheme headers".to_owned())
    }

    pub(super) fn transfer_coding(value: &[u8]) -> Self {
        Self::new(
            RejectKind::TransferCoding,
            format!("Unsupported transfer coding: {}", quote::text(value)),
        )
    }

    /// `what` is the line or a remark.
    pub(super) fn proxy_line(what: &[u8]) -> Self {
        Self::new(RejectKind::Proxy, format!("Invalid PROXY line: {}", quote::text(what)))
    }

    pub(super) fn proxy_header(what: &str) -> Self {
        Self::new(RejectKind::Proxy, format!("Invalid PROXY header: {what}"))
    }

    pub(super) fn chunk_size(what: &[u8]) -> Self {
        Self::new(RejectKind::Chunk, format!("Invalid chunk size: {}", quote::bytes(what)))
            .with_request()
    }

    pub(super) fn chunk_extension(what: &str) -> Self {
        Self::new(RejectKind::Chunk, format!("Invalid chunk extension: {what}")).with_request()
    }

    pub(super) fn chunk_terminator(found: &[u8]) -> Self {
        let found = quote::bytes(found);
        Self::new(RejectKind::Chunk, format!("Invalid chunk terminator is not '\\r\\n': {found}"))
            .with_request()
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_and_logs_are_told() {
        let told = |reject: Reject| {
            let page = String::from_utf8(reject.page()).unwrap();
            assert!(page.starts_with(&format!("HTTP/1.1 {} {}\r\n", reject.status, reject.reason)));
            assert!(page.contains(&format!("<title>{}</title>", reject.reason)));
            (reject.status, reject.page_message(), reject.message, reject.has_request)
        };
        let same =
            |status, text: &str, request| (status, text.to_owned(), text.to_owned(), request);
        assert_eq!(told(Reject::head_timeout(60)), {
            same(408, "The head of the request did not arrive within 60 s", false)
        });
        assert_eq!(told(Reject::body_timeout(5)), {
            same(408, "Nothing of the body of the request arrived for 5 s", true)
        });
        assert_eq!(told(Reject::body_too_large(1024)), {
            same(413, "The body of the request is larger than 1024 bytes", true)
        });
        let (status, page, log, request) = told(Reject::no_storage("/t\u{e4}\u{20ac}: disk full"));
        assert_eq!((status, request), (507, true));
        assert_eq!(page, "There is no room for the body of the request");
        assert_eq!(log, "The body of the request cannot be stored: /t\u{e4}\u{20ac}: disk full");
        let (status, page, log, request) = told(Reject::proxy_forbidden([10, 0, 0, 1].into()));
        assert_eq!((status, request), (403, false));
        assert_eq!(page, "Request forbidden");
        assert_eq!(log, "Proxy request from '10.0.0.1' not allowed");
    }
}
