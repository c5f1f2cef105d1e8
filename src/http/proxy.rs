//! The PROXY protocol, versions 1 (text) and 2 (binary): what a load balancer that does not speak HTTP
//! says about its client, in front of the first request. Follows `proxy-protocol.txt` of
//! haproxy.
//!
//! A header is either understood in full or refused. Trusting part of one would let a client choose
//! its own address.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

use super::forwarded::TrustList;
use super::reject::Reject;

/// Which versions are read (setting `proxy_protocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyMode {
    #[default]
    Off,
    V1,
    V2,
    /// Either.
    Auto,
}

/// All values of [`ProxyInfo::protocol`].
pub const PROXY_PROTOCOLS: [&str; 5] = ["TCP4", "TCP6", "UNKNOWN", "LOCAL", "UNSPEC"];

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyInfo {
    /// The word for environ's `PROXY_PROTOCOL`: `TCP4` or `TCP6`; `UNKNOWN` (version 1), `LOCAL` or
    /// `UNSPEC` (version 2) if the header names no addresses and those of the connection hold.
    pub protocol: &'static str,
    /// Address of the client.
    pub source: Option<SocketAddr>,
    /// The address that the client connected to.
    pub destination: Option<SocketAddr>,
}

impl ProxyInfo {
    fn without_addresses(protocol: &'static str) -> Self {
        Self { protocol, source: None, destination: None }
    }

    fn with_addresses(source: SocketAddr, destination: SocketAddr) -> Self {
        let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        Self { protocol, source: Some(source), destination: Some(destination) }
    }
}

/// What there is at the start of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyParse {
    /// More bytes are needed.
    Incomplete,
    /// No header: all bytes are HTTP.
    Absent,
    /// A header of `len` bytes, which HTTP follows.
    Header { len: usize, info: ProxyInfo },
}

/// The settings `proxy_protocol` and `proxy_allow_ips`.
#[derive(Clone, Debug, Default)]
pub struct ProxyProtocol {
    mode: ProxyMode,
    allowed: TrustList,
}

impl ProxyProtocol {
    #[must_use]
    pub fn new(mode: ProxyMode, allowed: TrustList) -> Self {
        Self { mode, allowed }
    }

    /// Whether the first bytes of a connection have to be looked at at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mode != ProxyMode::Off
    }

    /// Looks for a header at the start of a connection from `peer`, which is none for a unix socket:
    /// whoever can open that one is allowed.
    ///
    /// # Errors
    /// Those of [`parse_proxy_header`]; a header from a peer that may not send one.
    pub fn parse(&self, buf: &[u8], peer: Option<IpAddr>) -> Result<ProxyParse, Reject> {
        if let Some(peer) = peer
            && matches!(detect(buf, self.mode), Signature::V1 | Signature::V2)
            && !self.allowed.contains(peer)
        {
            return Err(Reject::proxy_forbidden(peer));
        }
        parse_proxy_header(buf, self.mode)
    }
}

/// Looks for a header at the start of `buf`: all that has arrived on a new connection, of which nothing
/// may be used as long as the answer is [`ProxyParse::Incomplete`].
///
/// # Errors
/// The bytes begin as a header, but break a rule. To be answered with [`Reject::page`], and the
/// connection closed.
pub fn parse_proxy_header(buf: &[u8], mode: ProxyMode) -> Result<ProxyParse, Reject> {
    let header = match detect(buf, mode) {
        Signature::Unclear => return Ok(ProxyParse::Incomplete),
        Signature::None => return Ok(ProxyParse::Absent),
        Signature::V1 => v1::parse(buf)?,
        Signature::V2 => v2::parse(buf)?,
    };
    Ok(match header {
        Some((len, info)) => ProxyParse::Header { len, info },
        None => ProxyParse::Incomplete,
    })
}

/// What the first bytes are.
enum Signature {
    /// They are the beginning of a signature, but too few to tell.
    Unclear,
    None,
    V1,
    V2,
}

fn detect(buf: &[u8], mode: ProxyMode) -> Signature {
    let (v1, v2) = match mode {
        ProxyMode::Off => return Signature::None,
        ProxyMode::V1 => (true, false),
        ProxyMode::V2 => (false, true),
        ProxyMode::Auto => (true, true),
    };
    let begins = |signature: &[u8]| signature.starts_with(&buf[..buf.len().min(signature.len())]);
    if v1 && begins(v1::SIGNATURE) {
        if buf.len() < v1::SIGNATURE.len() { Signature::Unclear } else { Signature::V1 }
    } else if v2 && begins(v2::SIGNATURE) {
        if buf.len() < v2::SIGNATURE.len() { Signature::Unclear } else { Signature::V2 }
    } else {
        Signature::None
    }
}

#[cfg(test)]
mod tests;
