//! Request bodies: framed bytes in, data out, whatever the pieces they come in.

use super::chunked::ChunkedDecoder;
use super::framing::Framing;
use super::head::HeadParser;
use super::reject::Reject;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the body and need not be shown again.
    pub consumed: usize,
    /// Whether the body is complete. What follows in the input is the next request.
    pub done: bool,
}

/// What it means for a body that the client sends no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eof {
    /// The body is complete.
    Complete,
    /// The client is gone in the middle of it: nothing is answered.
    Truncated,
    /// The client ended its side where a terminator was due: that is answered.
    Reject(Reject),
}

/// Takes the framing off the body of one request.
#[derive(Clone, Debug)]
pub enum BodyDecoder {
    /// So many bytes are still to come; none for a request without body.
    Length(u64),
    Chunked(ChunkedDecoder),
}

impl BodyDecoder {
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
        }
    }

    /// Takes bytes from the client and gives the data in them to `out`, in order. `parser` is the
    /// one that has read the head: its limits and policy hold for chunk lines and trailers.
    ///
    /// # Errors
    /// The chunked framing is invalid: to be answered with [`Reject::page`], and the connection
    /// closed.
    pub fn decode(
        &mut self,
        parser: &HeadParser,
        input: &[u8],
        out: &mut impl FnMut(&[u8]),
    ) -> Result<Progress, Reject> {
        match self {
            Self::Length(left) => {
                let take = usize::try_from(*left).map_or(input.len(), |n| n.min(input.len()));
                if take > 0 {
                    out(&input[..take]);
                }
                *left -= take as u64;
                Ok(Progress { consumed: take, done: *left == 0 })
            }
            Self::Chunked(decoder) => decoder.decode(parser, input, out),
        }
    }

    /// What it means that the client sends no more.
    #[must_use]
    pub fn eof(&self) -> Eof {
        match self {
            Self::Length(0) => Eof::Complete,
            Self::Length(_) => Eof::Truncated,
            Self::Chunked(decoder) => decoder.eof(),
        }
    }

    /// Bytes still to come, if that is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_takes_its_bytes_and_no_more() {
        let parser = HeadParser::default();
        let mut body = Vec::new();
        let mut sink = |data: &[u8]| body.extend_from_slice(data);
        let mut decoder = BodyDecoder::new(Framing::Length(5));
        let first = decoder.decode(&parser, b"abc", &mut sink).unwrap();
        assert_eq!(first, Progress { consumed: 3, done: false });
        assert_eq!((decoder.remaining(), decoder.eof()), (Some(2), Eof::Truncated));
        let second = decoder.decode(&parser, b"deGET /", &mut sink).unwrap();
        assert_eq!(second, Progress { consumed: 2, done: true });
        assert_eq!(decoder.eof(), Eof::Complete);
        assert_eq!(body, b"abcde");
    }

    #[test]
    fn no_body_is_done_at_once() {
        let mut decoder = BodyDecoder::new(Framing::None);
        let progress = decoder
            .decode(&HeadParser::default(), b"GET /", &mut |_| panic!("no data is due"))
            .unwrap();
        assert_eq!(progress, Progress { consumed: 0, done: true });
    }
}
