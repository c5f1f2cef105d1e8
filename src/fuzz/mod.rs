//! What holds for any input, as functions of arbitrary bytes: the targets of `cargo fuzz` (`fuzz/`)
//! and of the bounded run in `tests.rs`. They panic where a property does not hold.
//!
//! Only compiled for tests and with `--cfg fuzzing`, which cargo-fuzz sets: nothing of it is in a
//! released binary, and no Cargo feature can put it there.
//!
//! An input is two control bytes ([`Input`]) and then what goes over the wire, so that seeds can be
//! written and read as text: `00GET / HTTP/1.1`... Where an input is cut into pieces, the places are
//! derived from the input itself; each run of the same input does the same.

mod access;
mod chunked;
mod fields;
mod head;
mod pages;
mod pipeline;
mod proxy;
mod response;
#[cfg(test)]
mod tests;

pub use access::access_log_format;
pub use chunked::chunked_body;
pub use head::head;
pub use pipeline::pipeline;
pub use proxy::proxy;
pub use response::response_head;

use crate::http::{HeadParser, HeaderMap, Lenient, Limits, Policy, Reject};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets under their names, which are those of the programs and of the seed directories.
pub const TARGETS: [(&str, Target); 6] = [
    ("head", head),
    ("chunked_body", chunked_body),
    ("pipeline", pipeline),
    ("proxy", proxy),
    ("response_head", response_head),
    ("access_log_format", access_log_format),
];

/// A header that a trusted peer may send despite its underscore.
const FORWARDER: &str = "SCRIPT_NAME";
/// Scheme headers of a trusted peer.
const SCHEMES: [(&str, &str); 2] = [("X-FORWARDED-PROTO", "https"), ("X-FORWARDED-SSL", "on")];

/// An input taken apart.
#[derive(Clone, Copy)]
struct Input<'d> {
    /// Settings, one or two bits each; the character "0" stands for 0, so that it means "defaults".
    control: [u8; 2],
    wire: &'d [u8],
    /// Depends on every byte of the input.
    seed: u64,
}

impl<'d> Input<'d> {
    /// None if there are no control bytes.
    fn new(data: &'d [u8]) -> Option<Self> {
        let (control, wire) = data.split_first_chunk::<2>()?;
        // FNV-1a.
        let seed = data.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Some(Self { control: control.map(|byte| byte.wrapping_sub(b'0')), wire, seed })
    }

    /// Control 0, bit 0: whether the peer is trusted.
    fn trusted(&self) -> bool {
        self.control[0] & 1 != 0
    }

    /// Control 0, bits 1 and 2.
    fn header_map(&self) -> HeaderMap {
        match self.control[0] >> 1 & 3 {
            1 => HeaderMap::Refuse,
            2 => HeaderMap::Dangerous,
            _ => HeaderMap::Drop,
        }
    }

    /// Control 0, bits 3 and 4: the defaults, two that are easily met, and none at all.
    fn limits(&self) -> Limits {
        match self.control[0] >> 3 & 3 {
            0 => Limits::default(),
            1 => Limits::new(40, 4, 40),
            2 => Limits::new(17, 2, 12),
            _ => Limits::new(0, 0, 0),
        }
    }

    fn parser(&self) -> HeadParser {
        let schemes = SCHEMES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let policy = Policy::new(self.header_map(), &[FORWARDER.to_owned()], &schemes);
        HeadParser::new(self.limits(), policy).lenient(self.lenient())
    }

    /// Control 1, one bit each.
    fn lenient(&self) -> Lenient {
        let bit = |number: u8| self.control[1] >> number & 1 != 0;
        Lenient {
            obsolete_folding: bit(0),
            header_spaces: bit(1),
            unconventional_method: bit(2),
            unconventional_version: bit(3),
            casefold_method: bit(4),
        }
    }

    /// Whether the policy lets a field of this name through: the same rule as in `http`, put
    /// differently. None if it refuses the request for it.
    fn admits(&self, name: &[u8]) -> Option<bool> {
        if !name.contains(&b'_') {
            return Some(true);
        }
        if self.trusted() && name.eq_ignore_ascii_case(FORWARDER.as_bytes()) {
            return Some(true);
        }
        match self.header_map() {
            HeaderMap::Dangerous => Some(true),
            HeaderMap::Drop => Some(false),
            HeaderMap::Refuse => None,
        }
    }

    /// Ways in which the wire may arrive: ascending ends of pieces, the last of them all of it.
    fn arrivals(&self) -> Vec<Vec<usize>> {
        /// Longer inputs are not also given byte by byte, which would make them slow.
        const BYTE_BY_BYTE: usize = 400;
        let len = self.wire.len();
        let mut random = Random(self.seed);
        let mut ways: Vec<Vec<usize>> = (0..2)
            .map(|_| {
                let count = random.below(6);
                let mut cuts: Vec<_> = (0..count).map(|_| random.below(len + 1)).collect();
                cuts.push(len);
                cuts.sort_unstable();
                cuts
            })
            .collect();
        if len <= BYTE_BY_BYTE {
            ways.push((0..=len).collect());
        }
        ways
    }
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Zero would stay zero.
        let mut x = self.0.max(1);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0 = x;
        x
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(usize::MAX) % bound
    }
}

/// The part of a refusal that must not depend on how the input arrives: all but numbers and the
/// blame in its text.
type Refusal = (u16, &'static str, bool);

/// Checks the answer to a refused request; gives what is to be compared.
fn refusal(reject: &Reject) -> Refusal {
    pages::check(&reject.page(), reject.status, reject.reason);
    let printable = |c: char| matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}');
    assert!(
        reject.message.chars().all(printable),
        "what is logged has no control characters: {:?}",
        reject.message
    );
    (reject.status, reject.reason, reject.has_request)
}

/// Where `part`, which is not empty, first occurs in `text`.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The pieces of `text` between occurrences of CRLF.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(end) = find(rest, b"\r\n") {
        found.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    found.push(rest);
    found
}

/// `text` without SP and HTAB around it.
fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Name and value of a header line, the value without the blanks around it.
fn name_and_value(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a header line has a colon");
    (&line[..colon], trim(&line[colon + 1..]))
}

/// Whether `byte` may stand in a header value (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
