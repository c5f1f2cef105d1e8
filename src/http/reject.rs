//! Why a request is refused: status, reason and the texts for the log and for the page.

use std::fmt;

use super::{pages, quote};

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
}

/// A request that is answered with an error page, after which the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub kind: RejectKind,
    /// Status code of the answer.
    pub status: u16,
    /// Reason phrase of the answer; also the title of the page.
    pub reason: &'static str,
    /// For the log line `Invalid request from ip=IP: {message}`. All characters are latin-1.
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

    /// The text of the page, not yet escaped.
    #[must_use]
    pub fn page_message(&self) -> String {
        let message = &self.message;
        match self.kind {
            RejectKind::RequestLine => format!("Invalid Request Line '{message}'"),
            RejectKind::Method => format!("Invalid Method '{message}'"),
            RejectKind::Version => format!("Invalid HTTP Version '{message}'"),
            RejectKind::FieldsTooLarge => format!("Error parsing headers: '{message}'"),
            _ => message.clone(),
        }
    }

    /// The complete answer, head included.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        pages::error_page(self.status, self.reason, &self.page_message())
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
