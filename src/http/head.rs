//! Request heads: bytes in, a [`Head`] or a [`Reject`] out.
//!
//! There are two parsers with one result. The fast one (`fast.rs`) is httparse plus the checks it
//! does not make; it knows only yes and "look closer". The strict one (`strict.rs`) decides in all
//! other cases: it takes the head in pieces, refuses it as soon as something is wrong, and says
//! what.

use super::fields::{Field, MAX_HEAD, Section, Span};
use super::forwarded::Policy;
use super::framing::Framing;
use super::lenient::Lenient;
use super::limits::Limits;
use super::reject::Reject;
use super::view::Head;
use super::{fast, strict};

/// What is the same for all connections of a server: limits, header policy and leniency.
#[derive(Clone, Debug, Default)]
pub struct HeadParser {
    pub(super) limits: Limits,
    pub(super) policy: Policy,
    pub(super) lenient: Lenient,
}

/// What [`HeadParser::parse`] found.
#[derive(Clone, Copy, Debug)]
pub enum Parse<'b> {
    /// More bytes are needed.
    Incomplete,
    /// The head is there; the body, if any, starts [`Head::len`] bytes into the buffer.
    Complete(Head<'b>),
}

/// The head of the current request of one connection: while it arrives, how far it has been
/// looked at; then what it says.
///
/// Made once per connection and reused for each of its requests, so that a request needs no
/// allocation once the list of fields has grown to its usual size. It refers to the caller's buffer
/// by position only.
#[derive(Clone, Debug)]
pub struct HeadStore {
    pub(super) trusted: bool,
    pub(super) stage: Stage,
    pub(super) facts: Facts,
    pub(super) fields: Vec<Field>,
    /// The names of the fields that the policy left out.
    pub(super) dropped: Vec<Span>,
    /// What a lenient parser had to change: a method in upper case, values of folded fields.
    pub(super) side: Vec<u8>,
}

/// How far the strict parser has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Nothing of the request line has been looked at.
    Start,
    /// Within the request line that starts at `start`; no line feed before `searched`.
    Line { start: usize, searched: usize },
    /// After the request line.
    Fields(Section),
    /// The head is complete or was refused.
    Done,
}

/// What a head says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) method: Span,
    pub(super) target: Span,
    /// The version as sent.
    pub(super) version: (u8, u8),
    /// The minor version of HTTP/1 by whose rules the request is read.
    pub(super) minor: u8,
    /// Position after the empty line.
    pub(super) end: usize,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expect_continue: bool,
    pub(super) host: Option<Span>,
    pub(super) scheme_https: Option<bool>,
}

impl HeadStore {
    /// For a connection whose peer is `trusted` to set the headers of a proxy.
    #[must_use]
    pub fn new(trusted: bool) -> Self {
        Self {
            trusted,
            stage: Stage::Start,
            facts: Facts::default(),
            fields: Vec::new(),
            dropped: Vec::new(),
            side: Vec::new(),
        }
    }

    /// Prepares for another connection, keeping the memory.
    pub fn reuse(&mut self, trusted: bool) {
        self.trusted = trusted;
        self.restart();
    }

    /// The head that the last call of [`HeadParser::parse`] found in `buf`. The bytes of the head
    /// may have moved to another buffer, but not within it.
    ///
    /// Also after a [`Reject`] with `has_request`: then the request line is there, and as many
    /// fields as were known when the error was found.
    #[must_use]
    pub fn head<'b>(&'b self, buf: &'b [u8]) -> Head<'b> {
        Head { buf: &buf[..buf.len().min(MAX_HEAD)], store: self }
    }

    /// Whether part of a head has been seen and the rest has not.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self.stage, Stage::Line { .. } | Stage::Fields(_))
    }

    /// Up to where the strict parser has looked for the end of a line.
    #[cfg(test)]
    pub(super) fn scanned(&self) -> usize {
        match &self.stage {
            Stage::Start | Stage::Done => 0,
            Stage::Line { searched, .. } => *searched,
            Stage::Fields(section) => section.searched(),
        }
    }

    /// Notes a field that is left out. Rare, so that it should not weigh on the others.
    #[cold]
    pub(super) fn drop_field(&mut self, name: Span) {
        self.dropped.push(name);
    }

    pub(super) fn restart(&mut self) {
        self.stage = Stage::Start;
        self.clear();
    }

    /// Forgets what was found, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.dropped.clear();
        self.side.clear();
    }
}

impl HeadParser {
    #[must_use]
    pub fn new(limits: Limits, policy: Policy) -> Self {
        Self { limits, policy, lenient: Lenient::default() }
    }

    /// The same parser, but as lenient as this.
    #[must_use]
    pub fn lenient(self, lenient: Lenient) -> Self {
        Self { lenient, ..self }
    }

    /// Looks for a head at the start of `buf`.
    ///
    /// While it answers [`Parse::Incomplete`], the next call must get the same bytes and those that
    /// have arrived since; each byte is then looked at a bounded number of times, however slowly
    /// they come. The call after a complete head starts afresh: `buf` then begins with what
    /// follows the body.
    ///
    /// # Errors
    /// The head breaks a rule of RFC 9112, a limit or the header policy. It is to be answered with
    /// [`Reject::page`], and the connection closed.
    pub fn parse<'b>(&self, store: &'b mut HeadStore, buf: &'b [u8]) -> Result<Parse<'b>, Reject> {
        if matches!(store.stage, Stage::Done) {
            store.restart();
        }
        let fresh = matches!(store.stage, Stage::Start);
        if (fresh && fast::parse(self, store, buf)) || strict::parse(self, store, buf)? {
            return Ok(Parse::Complete(store.head(buf)));
        }
        Ok(Parse::Incomplete)
    }

    /// The strict parser alone: what the fast one is tested against.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse_strictly<'b>(
        &self,
        store: &'b mut HeadStore,
        buf: &'b [u8],
    ) -> Result<Parse<'b>, Reject> {
        if matches!(store.stage, Stage::Done) {
            store.restart();
        }
        let complete = strict::parse(self, store, buf)?;
        Ok(if complete { Parse::Complete(store.head(buf)) } else { Parse::Incomplete })
    }
}
