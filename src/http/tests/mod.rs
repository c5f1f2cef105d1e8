//! Tests of the module as a whole: tables of cases, and properties over arbitrary input.

mod heads;
mod lenient;
mod properties;

use super::{HeadParser, HeadStore, Parse, Reject};

/// The outcome of parsing `wire` in one piece; a complete head in its debug form.
fn parse(parser: &HeadParser, trusted: bool, wire: &[u8]) -> Result<Option<String>, Reject> {
    let mut store = HeadStore::new(trusted);
    shown(parser.parse(&mut store, wire))
}

fn shown(outcome: Result<Parse<'_>, Reject>) -> Result<Option<String>, Reject> {
    match outcome? {
        Parse::Incomplete => Ok(None),
        Parse::Complete(head) => Ok(Some(format!("{head:?}"))),
    }
}
