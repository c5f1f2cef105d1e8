//! Chunked bodies (RFC 9112 section 7.1), in pieces of any size.

use memchr::memchr;

use super::body::{Eof, Progress};
use super::chars::{TOKEN, trim_end, trim_start};
use super::fields::{Field, MAX_HEAD, Place, Rules, Section, Verdict};
use super::head::HeadParser;
use super::reject::Reject;
use super::target::hex;

/// What size lines may take beyond [`LINE`] bytes each, and beyond the data of their chunks, before a
/// body is refused: 16 KiB.
///
/// Extensions are read and thrown away. Without this bound a client could send one byte of data with
/// kilobytes of extensions, again and again, and keep the server busy below every other limit.
const SLACK: u64 = 16 << 10;

/// Bytes of a size line that are nobody's fault: as many digits as a size can have.
const LINE: usize = 16;

/// Takes the framing off a chunked body.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// What has arrived of a size line, of the end of a chunk or of the trailer section, as far as
    /// it did not come in one piece. Keeps the trailers in the end.
    pending: Vec<u8>,
    /// Values of trailers that did not arrive in one piece.
    side: Vec<u8>,
    /// Bytes of size lines that no data stands against, as [`SLACK`] counts them.
    debt: u64,
    trailers: Vec<Field>,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// In the line with the size of the next chunk.
    #[default]
    Size,
    /// In a chunk, with this many bytes to come.
    Data(u64),
    /// In the CRLF after the data of a chunk.
    DataEnd,
    /// In the trailer section, after the last chunk.
    Trailers(Section),
    Done,
}

impl ChunkedDecoder {
    /// Takes framed bytes and gives the data in them to `out`. Once done, nothing is consumed.
    ///
    /// # Errors
    /// The framing breaks a rule of RFC 9112 or a limit of `parser`, or a trailer is invalid.
    pub fn decode(
        &mut self,
        parser: &HeadParser,
        input: &[u8],
        out: &mut impl FnMut(&[u8]),
    ) -> Result<Progress, Reject> {
        let mut consumed = 0;
        while !matches!(self.state, State::Done) {
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Ok(Progress { consumed, done: false });
            }
            consumed += match self.state {
                State::Size => self.size(parser.limits.field_size, rest)?,
                State::Data(left) => self.data(left, rest, out),
                State::DataEnd => self.data_end(rest)?,
                State::Trailers(_) => self.trailer_section(parser, rest)?,
                State::Done => 0,
            };
        }
        Ok(Progress { consumed, done: true })
    }

    /// What it means that the client sends no more.
    #[must_use]
    pub fn eof(&self) -> Eof {
        match self.state {
            State::Done => Eof::Complete,
            State::Size | State::Data(_) => Eof::Truncated,
            State::DataEnd => Eof::Reject(Reject::chunk_terminator(&self.pending)),
            State::Trailers(_) => Eof::Reject(Reject::chunk_terminator(b"")),
        }
    }

    /// Name and value of each trailer field, once the body is complete.
    #[must_use]
    pub fn trailers(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let (buf, side) = (self.pending.as_slice(), self.side.as_slice());
        let trailers = self.trailers.iter();
        trailers.map(move |field| (field.name.of(buf, side), field.value.of(buf, side)))
    }

    fn size(&mut self, limit: usize, input: &[u8]) -> Result<usize, Reject> {
        let too_long = || {
            let text = format!("line over {limit} bytes with no terminator");
            Reject::chunk_size(text.as_bytes())
        };
        let mut searched = 0;
        while let Some(feed) = memchr(b'\n', &input[searched..]).map(|at| searched + at) {
            searched = feed + 1;
            let before = if feed > 0 { input.get(feed - 1) } else { self.pending.last() };
            if before != Some(&b'\r') {
                // A bare LF does not end the line; the line will be refused for it.
                continue;
            }
            let line = if self.pending.is_empty() {
                &input[..feed - 1]
            } else {
                self.pending.extend_from_slice(&input[..feed]);
                self.pending.split_last().map_or(&[][..], |(_, line)| line)
            };
            let size = read_size(line, limit).ok_or_else(too_long)??;
            self.debt += line.len().saturating_sub(LINE) as u64;
            if self.debt > SLACK {
                return Err(Reject::chunk_extension("too many bytes for so little data"));
            }
            self.debt = self.debt.saturating_sub(size);
            self.pending.clear();
            self.state =
                if size == 0 { State::Trailers(Section::default()) } else { State::Data(size) };
            return Ok(feed + 1);
        }
        // The last byte may be the CR that belongs to the end of the line.
        if self.pending.len() + input.len() > limit + 1 {
            return Err(too_long());
        }
        self.pending.extend_from_slice(input);
        Ok(input.len())
    }

    fn data(&mut self, left: u64, input: &[u8], out: &mut impl FnMut(&[u8])) -> usize {
        let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        out(&input[..take]);
        let left = left - take as u64;
        self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
        take
    }

    fn data_end(&mut self, input: &[u8]) -> Result<usize, Reject> {
        let take = (2 - self.pending.len()).min(input.len());
        self.pending.extend_from_slice(&input[..take]);
        if self.pending.len() == 2 {
            if self.pending != b"\r\n" {
                return Err(Reject::chunk_terminator(&self.pending));
            }
            self.pending.clear();
            self.state = State::Size;
        }
        Ok(take)
    }

    fn trailer_section(&mut self, parser: &HeadParser, input: &[u8]) -> Result<usize, Reject> {
        let State::Trailers(section) = &mut self.state else { return Ok(0) };
        if self.pending.is_empty() && input.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(2);
        }
        let before = self.pending.len();
        if before + input.len() > MAX_HEAD {
            return Err(Reject::fields_too_large("max buffer headers").with_request());
        }
        self.pending.extend_from_slice(input);
        let trailers = &mut self.trailers;
        let take = |verdict| {
            if let Verdict::Keep(field) = verdict {
                trailers.push(field);
            }
        };
        let end = section
            .advance(Rules { parser, place: Place::Trailer }, &self.pending, &mut self.side, take)
            .map_err(Reject::with_request)?;
        match end {
            Some(end) => {
                self.state = State::Done;
                Ok(end - before)
            }
            None => Ok(input.len()),
        }
    }
}

/// Reads a size line without its CRLF; none if it is longer than `limit` bytes.
fn read_size(line: &[u8], limit: usize) -> Option<Result<u64, Reject>> {
    (line.len() <= limit).then(|| {
        let (size, extensions) = match memchr(b';', line) {
            Some(at) => (trim_end(&line[..at]), Some(&line[at + 1..])),
            None => (line, None),
        };
        if extensions.is_some_and(|text| text.contains(&b'\r')) {
            return Err(Reject::chunk_extension("bare CR not allowed"));
        }
        let invalid = || Reject::chunk_size(size);
        if size.is_empty() || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(invalid());
        }
        if extensions.is_some_and(|text| !are_extensions(text)) {
            return Err(Reject::chunk_extension("invalid chunk extension"));
        }
        size.iter()
            .try_fold(0u64, |sum, &digit| {
                sum.checked_mul(16).and_then(|sum| Some(sum + u64::from(hex(digit)?)))
            })
            .ok_or_else(invalid)
    })
}

/// Whether `rest`, what follows the first ";", has the form of chunk extensions (RFC 9112 section
/// 7.1.1).
fn are_extensions(mut rest: &[u8]) -> bool {
    loop {
        let Some(after) = skip_token(trim_start(rest)) else { return false };
        rest = after;
        if let [b'=', value @ ..] = trim_start(rest) {
            let value = trim_start(value);
            let after = match value {
                [b'"', quoted @ ..] => skip_quoted(quoted),
                _ => skip_token(value),
            };
            let Some(after) = after else { return false };
            rest = after;
        }
        if rest.is_empty() {
            return true;
        }
        let [b';', next @ ..] = trim_start(rest) else { return false };
        rest = next;
    }
}

fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|&&byte| TOKEN[usize::from(byte)]).count();
    (len > 0).then(|| &text[len..])
}

/// What follows a quoted string (RFC 9110 section 5.6.4) whose opening quote has been passed.
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    let visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if visible(*escaped) => rest,
            [byte, rest @ ..] if *byte != b'\\' && visible(*byte) => rest,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderMap, Limits, Policy};

    fn run(wire: &[u8]) -> Result<(Vec<u8>, usize, bool), Reject> {
        let mut body = Vec::new();
        let mut decoder = ChunkedDecoder::default();
        let progress = decoder.decode(&HeadParser::default(), wire, &mut |data| {
            body.extend_from_slice(data);
        })?;
        Ok((body, progress.consumed, progress.done))
    }

    fn refusal(wire: &[u8]) -> String {
        let reject = run(wire).unwrap_err();
        assert_eq!((reject.status, reject.has_request), (400, true));
        reject.message
    }

    #[test]
    fn decodes_and_leaves_the_rest() {
        let wire = b"4\r\nWiki\r\n00005\r\npedia\r\nE;a=b\r\n in\r\n\r\nchunks.\r\n0\r\n\r\nGET /";
        let (body, consumed, done) = run(wire).unwrap();
        assert_eq!(body, b"Wikipedia in\r\n\r\nchunks.");
        assert_eq!((consumed, done), (wire.len() - 5, true));
    }

    #[test]
    fn extensions_follow_the_grammar() {
        for good in
            ["", ";a", " ; a", ";a=b", ";a = b", ";a=\"q\\\"\x09;\"", ";a;b=\"\" ;c", "\t;a"]
        {
            let wire = format!("1{good}\r\nx\r\n0\r\n\r\n");
            assert_eq!(run(wire.as_bytes()).unwrap().0, b"x", "{good:?}");
        }
        for bad in
            [";", ";a=", ";a b", ";=b", ";a=\"", ";a=\"b\"c", ";a ", ";;a", ";a=\"\\", ";a\n"]
        {
            let wire = format!("1{bad}\r\nx\r\n0\r\n\r\n");
            assert_eq!(
                refusal(wire.as_bytes()),
                "Invalid chunk extension: invalid chunk extension",
                "{bad:?}"
            );
        }
        assert_eq!(refusal(b"1;a\rb\r\n"), "Invalid chunk extension: bare CR not allowed");
    }

    #[test]
    fn sizes_are_hex_digits_and_nothing_else() {
        for bad in ["xyz", "", "0x1", "+1", "-1", " 1", "1 ", "1_0", "g"] {
            let wire = format!("{bad}\r\nx\r\n0\r\n\r\n");
            let message = format!("Invalid chunk size: b'{bad}'");
            assert_eq!(refusal(wire.as_bytes()), message);
        }
        assert_eq!(refusal(b"1\nx\r\n"), "Invalid chunk size: b'1\\nx'");
        assert_eq!(refusal(b"10000000000000000\r\n"), "Invalid chunk size: b'10000000000000000'");
        assert_eq!(run(b"ffffffffffffffff\r\nabc").unwrap().0, b"abc");
        let long = "Invalid chunk size: b'line over 8190 bytes with no terminator'";
        assert_eq!(refusal(&[b'0'; 8192]), long);
        assert_eq!(refusal(&[&[b'0'; 8191][..], b"\r\n\r\n"].concat()), long);
        assert!(run(&[&[b'0'; 8190][..], b"\r\n\r\n"].concat()).unwrap().2);
    }

    #[test]
    fn size_lines_may_not_be_much_longer_than_the_data() {
        let chunk = |line: usize, size: usize| {
            let extension = "x".repeat(line - 5);
            format!("{size:04x};{extension}\r\n{}\r\n", "d".repeat(size))
        };
        let message = "Invalid chunk extension: too many bytes for so little data";
        // 16 bytes are free for each line, 16 KiB for the body, and a byte for each byte of data.
        let fine = chunk(16 + 4096, 0x1000).repeat(100) + &chunk(16, 1).repeat(10_000);
        assert_eq!(run(fine.as_bytes()).unwrap().0.len(), 100 * 0x1000 + 10_000);
        let fine = chunk(16 + 4096, 1).repeat(4);
        assert_eq!(run(fine.as_bytes()).unwrap().0, b"dddd");
        assert_eq!(refusal((fine.clone() + &chunk(16 + 5, 1)).as_bytes()), message);
        assert_eq!(refusal((chunk(16, 0xffff) + &fine + &chunk(16 + 5, 1)).as_bytes()), message);
        // Leading zeros are as idle as extensions.
        let zeros = format!("{}1\r\nd\r\n", "0".repeat(8000));
        assert_eq!(run(zeros.repeat(2).as_bytes()).unwrap().0, b"dd");
        assert_eq!(refusal(zeros.repeat(3).as_bytes()), message);
    }

    #[test]
    fn data_ends_with_crlf() {
        assert_eq!(refusal(b"1\r\nabc"), "Invalid chunk terminator is not '\\r\\n': b'bc'");
        assert_eq!(refusal(b"1\r\na\n0"), "Invalid chunk terminator is not '\\r\\n': b'\\n0'");
    }

    #[test]
    fn trailers_are_kept_and_checked() {
        let mut decoder = ChunkedDecoder::default();
        let wire = b"0\r\nX-Sum: 1 \r\nA_B: 2\r\nEmpty:\r\n\r\nrest";
        let progress = decoder.decode(&HeadParser::default(), wire, &mut |_| {}).unwrap();
        assert_eq!((progress.consumed, progress.done), (wire.len() - 4, true));
        let trailers: Vec<_> = decoder.trailers().collect();
        assert_eq!(trailers, [(&b"X-Sum"[..], &b"1"[..]), (b"Empty", b"")]);

        for name in
            ["Host", "content-length", "Transfer-Encoding", "Trailer", "Authorization", "TE"]
        {
            let wire = format!("0\r\n{name}: x\r\n\r\n");
            let message = format!("Invalid HTTP header name: '{}'", name.to_ascii_uppercase());
            assert_eq!(refusal(wire.as_bytes()), message);
        }
        assert_eq!(
            refusal(b"0\r\nX: a\r\n b\r\n\r\n"),
            "Obsolete line folding is unacceptable: 'X'"
        );
        assert_eq!(refusal(b"0\r\nX: a\n"), "Invalid HTTP Header: 'bare LF as line terminator'");
        assert_eq!(refusal(b"0\r\nX: a\n\r\n\r\n"), "Invalid HTTP Header: 'X'");
        assert_eq!(refusal(b"0\r\nnope\r\n\r\n"), "Invalid HTTP Header: 'nope'");
        let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(101));
        assert_eq!(run(many.as_bytes()).unwrap_err().status, 431);
        let strict =
            HeadParser::new(Limits::default(), Policy::new(HeaderMap::Refuse, &["*".into()], &[]));
        let refused =
            ChunkedDecoder::default().decode(&strict, b"0\r\na_b: c\r\n\r\n", &mut |_| {});
        assert_eq!(refused.unwrap_err().message, "Invalid HTTP header name: 'A_B'");
    }

    #[test]
    fn end_of_input_in_every_state() {
        let eof = |wire: &[u8]| {
            let mut decoder = ChunkedDecoder::default();
            decoder.decode(&HeadParser::default(), wire, &mut |_| {}).unwrap();
            decoder.eof()
        };
        assert_eq!(eof(b""), Eof::Truncated);
        assert_eq!(eof(b"5"), Eof::Truncated);
        assert_eq!(eof(b"5\r\nab"), Eof::Truncated);
        let Eof::Reject(reject) = eof(b"1\r\na\r") else { panic!("not refused") };
        assert_eq!(reject.message, "Invalid chunk terminator is not '\\r\\n': b'\\r'");
        let Eof::Reject(reject) = eof(b"0\r\n") else { panic!("not refused") };
        assert_eq!(reject.message, "Invalid chunk terminator is not '\\r\\n': b''");
        assert_eq!(eof(b"0\r\n\r\n"), Eof::Complete);
    }
}
