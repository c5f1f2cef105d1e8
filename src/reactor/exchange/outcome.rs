//! What became of a response, for who looks at it when it is over.

use super::Exchange;
use super::sending::Phase;
use crate::http::{HeaderBlock, ResponseBody};

/// See the module documentation.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Outcome {
    /// As the application gave it; `None` if it gave none.
    pub status: Option<Vec<u8>>,
    /// Those of the application that are sent.
    pub headers: HeaderBlock,
    /// Body bytes, before chunking.
    pub sent: u64,
    /// The body length that the application announced.
    pub length: Option<u64>,
    pub head_sent: bool,
    pub chunked: bool,
    /// The connection is closed behind it.
    pub close: bool,
    /// The application has asked for another protocol.
    pub upgrade: bool,
}

impl Outcome {
    /// Of a request that was refused, with status and reason of the answer.
    pub fn refused(status: &[u8]) -> Self {
        Self {
            status: Some(status.to_vec()),
            headers: HeaderBlock::new(),
            sent: 0,
            length: None,
            head_sent: true,
            chunked: false,
            close: true,
            upgrade: false,
        }
    }
}

impl Exchange {
    /// What is known of the response so far.
    pub fn outcome(&self) -> Outcome {
        let response = self.lock();
        let close = response.plan.map_or(!response.facts.keep_alive, |plan| plan.close);
        Outcome {
            status: (!response.status.is_empty()).then(|| response.status.clone()),
            headers: response.headers.clone(),
            sent: response.sent,
            length: response.headers.content_length(),
            head_sent: matches!(response.phase, Phase::Body | Phase::Complete),
            chunked: response.plan.is_some_and(|plan| plan.body == ResponseBody::Chunked),
            close: close || response.closing,
            upgrade: response.headers.asks_for_upgrade(),
        }
    }

    /// Has the connection closed behind the response, which has not begun.
    pub fn close_after(&self) {
        self.lock().facts.keep_alive = false;
    }
}
