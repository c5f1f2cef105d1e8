//! HTTP/1 without I/O: bytes in, events out; no descriptor, no clock, no Python.
//!
//! A request head is read with [`HeadParser`], its body with [`BodyDecoder`]; the head of the answer
//! is built from a [`HeaderBlock`] and a [`Plan`]. What is accepted, and how the rest is refused,
//! follows RFC 9110 and RFC 9112 at their strictest and is the same as gunicorn's.

mod body;
mod chars;
mod chunked;
mod date;
mod fast;
mod fields;
mod forwarded;
mod framing;
mod head;
mod headers;
mod interim;
mod lenient;
mod limits;
mod pages;
mod proxy;
mod quote;
mod reject;
mod response;
mod strict;
mod target;
#[cfg(test)]
mod tests;
mod view;

pub use body::{BodyDecoder, Eof};
pub use date::DateCache;
pub use forwarded::{HeaderMap, Policy, TrustList};
pub use framing::Framing;
pub use head::{HeadParser, HeadStore, Parse};
pub use headers::{HeadError, HeaderBlock, check_status};
pub use interim::{CONTINUE, encode_early_hints};
pub use lenient::Lenient;
pub use limits::Limits;
pub use pages::error_page;
#[cfg(any(test, fuzzing))]
pub use proxy::parse_proxy_header;
pub use proxy::{PROXY_PROTOCOLS, ProxyInfo, ProxyMode, ProxyParse, ProxyProtocol};
pub use reject::Reject;
pub use response::{CHUNK_END, LAST_CHUNK, Plan, ResponseBody, chunk_prefix, encode_head};
pub use target::percent_decode;
pub use view::Head;
