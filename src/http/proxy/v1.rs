//! Version 1: one line of text, `PROXY TCP4 1.2.3.4 5.6.7.8 1234 80` and CRLF.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memmem;

use super::ProxyInfo;
use crate::http::reject::Reject;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, with its CRLF (proxy-protocol.txt section 2.1).
const MAX: usize = 107;

/// Parses a line that begins with the signature: its length and what it says, or none if it has not
/// arrived in full.
pub(super) fn parse(buf: &[u8]) -> Result<Option<(usize, ProxyInfo)>, Reject> {
    let Some(end) = memmem::find(&buf[..buf.len().min(MAX)], b"\r\n") else {
        return if buf.len() < MAX {
            Ok(None)
        } else {
            Err(Reject::proxy_line(b"no line end within 107 bytes"))
        };
    };
    let line = &buf[..end];
    let fields = &line[SIGNATURE.len()..];
    let info = match fields.split(|&byte| byte == b' ').next() {
        // Addresses may follow, and have to be ignored; but they are text.
        Some(b"UNKNOWN") if fields.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
            ProxyInfo::without_addresses("UNKNOWN")
        }
        Some(b"TCP4") => addresses::<Ipv4Addr>(line)?,
        Some(b"TCP6") => addresses::<Ipv6Addr>(line)?,
        Some(protocol)
            if protocol != b"UNKNOWN" && line.split(|&byte| byte == b' ').count() == 6 =>
        {
            return Err(Reject::proxy_line(
                &[b"protocol '", protocol, b"' not supported"].concat(),
            ));
        }
        _ => return Err(Reject::proxy_line(line)),
    };
    Ok(Some((end + 2, info)))
}

/// Reads `PROXY PROTOCOL SOURCE DESTINATION PORT PORT`, single blanks between the fields.
fn addresses<A: FromStr + Into<IpAddr>>(line: &[u8]) -> Result<ProxyInfo, Reject> {
    let text = std::str::from_utf8(line).map_err(|_| Reject::proxy_line(line))?;
    let mut fields = text.split(' ').skip(2);
    let (Some(from), Some(to), Some(from_port), Some(to_port), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Reject::proxy_line(line));
    };
    let address = |text: &str| text.parse::<A>().map_err(|_| Reject::proxy_line(line));
    let (from, to) = (address(from)?.into(), address(to)?.into());
    let (Some(from_port), Some(to_port)) = (port(from_port), port(to_port)) else {
        return Err(Reject::proxy_line(&[b"invalid port ", line].concat()));
    };
    Ok(ProxyInfo::with_addresses(SocketAddr::new(from, from_port), SocketAddr::new(to, to_port)))
}

/// A port in decimal, without sign and leading zeros.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}
