//! Requests one after the other on a connection: where one ends, the next begins, however they
//! arrive. A disagreement about that is what request smuggling is made of.

use super::head::{Content, answer, check};
use super::{Input, Refusal, refusal};
use crate::http::{BodyDecoder, HeadParser, HeadStore, Parse};

/// More requests than this are not read from one input.
const MOST: usize = 20;

/// What a connection has carried.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Head and body of each complete request.
    requests: Vec<(Content, Vec<u8>)>,
    /// Where the last of them ended.
    end: usize,
    refused: Option<Refusal>,
}

/// Connections: however the bytes arrive, the same requests begin and end at the same places.
///
/// # Panics
/// They do not.
pub fn pipeline(data: &[u8]) {
    let Some(input) = Input::new(data) else { return };
    let parser = input.parser();
    let whole = serve(&parser, &input, &[input.wire.len()]);
    for cuts in input.arrivals() {
        assert_eq!(whole, serve(&parser, &input, &cuts), "in pieces {cuts:?}");
    }
}

/// Reads requests as the event loop does: a head, its body, and from there the next head.
fn serve(parser: &HeadParser, input: &Input<'_>, cuts: &[usize]) -> Seen {
    let wire = input.wire;
    let mut seen = Seen::default();
    let mut store = HeadStore::new(input.trusted());
    let mut body: Option<(BodyDecoder, Content, Vec<u8>)> = None;
    let mut start = 0;
    for &cut in cuts {
        while seen.requests.len() < MOST {
            let Some((decoder, head, data)) = &mut body else {
                let outcome = parser.parse(&mut store, &wire[start..cut]);
                if let Ok(Parse::Complete(head)) = &outcome {
                    check(&Input { wire: &wire[start..], ..*input }, head);
                    let decoder = BodyDecoder::new(head.framing());
                    start += head.len();
                    body = Some((decoder, Content::of(head), Vec::new()));
                    continue;
                }
                match answer(outcome) {
                    Ok(_) => break,
                    Err(refused) => return Seen { refused: Some(refused), ..seen },
                }
            };
            let sink = &mut |piece: &[u8]| data.extend_from_slice(piece);
            match decoder.decode(parser, &wire[start..cut], sink) {
                Ok(progress) => {
                    start += progress.consumed;
                    if !progress.done {
                        break;
                    }
                    seen.requests.push((std::mem::take(head), std::mem::take(data)));
                    seen.end = start;
                    body = None;
                }
                Err(reject) => return Seen { refused: Some(refusal(&reject)), ..seen },
            }
        }
    }
    seen
}

/// The number of requests in an input, and whether something is refused in the end.
#[cfg(test)]
pub(super) fn summary(data: &[u8]) -> (usize, bool) {
    let input = Input::new(data).expect("a seed has control bytes");
    let seen = serve(&input.parser(), &input, &[input.wire.len()]);
    (seen.requests.len(), seen.refused.is_some())
}
