//! What a complete request head says.

use std::borrow::Cow;
use std::fmt;

use super::framing::Framing;
use super::head::HeadStore;
use super::target;

/// A request head, borrowed from the buffer it arrived in.
#[derive(Clone, Copy)]
pub struct Head<'b> {
    pub(super) buf: &'b [u8],
    pub(super) store: &'b HeadStore,
}

impl<'b> Head<'b> {
    /// Bytes up to the body, the empty line (and one before the request line) included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.facts.end
    }

    /// What it takes to have it again when its buffer is gone, with [`HeadStore::head`].
    #[must_use]
    pub fn keep(&self) -> (Vec<u8>, HeadStore) {
        (self.buf.to_vec(), self.store.clone())
    }

    /// The method, as sent, or in upper case if the parser was told to do so.
    #[must_use]
    pub fn method(&self) -> &'b [u8] {
        self.store.facts.method.of(self.buf, &self.store.side)
    }

    /// The request target, as sent.
    #[must_use]
    pub fn target(&self) -> &'b [u8] {
        self.store.facts.target.of(self.buf, &self.store.side)
    }

    /// Major and minor version, as sent; the major one is 1 unless the parser is lenient.
    #[must_use]
    pub fn version(&self) -> (u8, u8) {
        self.store.facts.version
    }

    /// The minor version of HTTP/1 by whose rules the request is read and answered: 1 for later
    /// major versions, 0 for earlier ones.
    #[must_use]
    pub fn minor(&self) -> u8 {
        self.store.facts.minor
    }

    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Path and query of the target, neither decoded, the query without "?". A path that starts
    /// with "//" stays as it is, of an absolute target only the path is given, a fragment is left
    /// out, and the target of CONNECT (`host:port`) has neither.
    #[must_use]
    pub fn path_and_query(&self) -> (&'b [u8], &'b [u8]) {
        target::path_and_query(self.method(), self.target())
    }

    /// The path, with percent escapes replaced.
    #[must_use]
    pub fn decoded_path(&self) -> Cow<'b, [u8]> {
        target::percent_decode(self.path_and_query().0)
    }

    /// Name and value of each field that the policy lets through, in order, as sent; values without
    /// the blanks around them.
    #[must_use]
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'b [u8], &'b [u8])> + use<'b> {
        let (buf, side) = (self.buf, self.store.side.as_slice());
        let fields = self.store.fields.iter();
        fields.map(move |field| (field.name.of(buf, side), field.value.of(buf, side)))
    }

    /// The names of the fields that `header_map` left out, for there is an underscore in them and the
    /// peer may not send them.
    #[must_use]
    pub fn dropped(&self) -> impl ExactSizeIterator<Item = &'b [u8]> + use<'b> {
        let (buf, side) = (self.buf, self.store.side.as_slice());
        self.store.dropped.iter().map(move |name| name.of(buf, side))
    }

    /// The value of the last field called `name`, in any case.
    #[must_use]
    pub fn last(&self, name: &[u8]) -> Option<&'b [u8]> {
        let found = |(known, _): &(&[u8], &[u8])| known.eq_ignore_ascii_case(name);
        self.fields().filter(found).last().map(|(_, value)| value)
    }

    #[must_use]
    pub fn host(&self) -> Option<&'b [u8]> {
        self.store.facts.host.map(|host| host.of(self.buf, &self.store.side))
    }

    #[must_use]
    pub fn framing(&self) -> Framing {
        self.store.facts.framing
    }

    /// Whether the client lets the connection serve another request.
    ///
    /// The options in all Connection fields decide: "close" closes, else "keep-alive" keeps, else it
    /// is the version; CONNECT and bodies with a coding other than chunked always close.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.store.facts.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.store.facts.expect_continue
    }

    /// What the scheme headers of a trusted peer say: https or plain http; none if there were none.
    #[must_use]
    pub fn scheme_https(&self) -> Option<bool> {
        self.store.facts.scheme_https
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_struct("Head")
            .field("method", &text(self.method()))
            .field("target", &text(self.target()))
            .field("version", &self.version())
            .field("fields", &self.fields().map(|(n, v)| (text(n), text(v))).collect::<Vec<_>>())
            .field("framing", &self.framing())
            .field("keep_alive", &self.keep_alive())
            .field("expect_continue", &self.expect_continue())
            .field("host", &self.host().map(text))
            .field("minor", &self.minor())
            .field("dropped", &self.dropped().map(text).collect::<Vec<_>>())
            .field("scheme_https", &self.scheme_https())
            .field("len", &self.len())
            .finish()
    }
}
