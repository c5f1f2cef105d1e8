//! Version 2: a binary header of 16 bytes, addresses, and fields of types that are of no use here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ProxyInfo;
use crate::http::reject::Reject;

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes before the addresses.
const FIXED: usize = 16;

/// The most bytes that may follow them. The field for the length could announce 64 KiB, which a client
/// might send byte by byte; addresses take 36, and all extensions that load balancers are known to
/// send fit into this many times over.
const MAX: usize = 4096;

/// The low half of the byte for family and protocol: TCP.
const STREAM: u8 = 1;

/// Parses a header that begins with the signature: its length and what it says, or none if it has not
/// arrived in full. What is wrong is refused as soon as it is there.
pub(super) fn parse(buf: &[u8]) -> Result<Option<(usize, ProxyInfo)>, Reject> {
    let mut bytes = buf[SIGNATURE.len()..].iter().copied();
    let Some(version_and_command) = bytes.next() else { return Ok(None) };
    let (version, command) = (version_and_command >> 4, version_and_command & 0xf);
    if version != 2 {
        return Err(Reject::proxy_header(&format!("unsupported version {version}")));
    }
    let local = match command {
        0 => true,
        1 => false,
        _ => return Err(Reject::proxy_header(&format!("unsupported command {command}"))),
    };
    let Some(family_and_protocol) = bytes.next() else { return Ok(None) };
    let family = if local {
        // The load balancer speaks for itself, in a health check for example; what the header says
        // about addresses has to be ignored.
        Family::Unspecified
    } else {
        family(family_and_protocol)?
    };
    let (Some(high), Some(low)) = (bytes.next(), bytes.next()) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX {
        return Err(Reject::proxy_header(&format!("{length} bytes are more than {MAX}")));
    }
    let end = FIXED + length;
    let Some(rest) = buf.get(FIXED..end) else { return Ok(None) };
    let info = match family {
        Family::Unspecified if local => ProxyInfo::without_addresses("LOCAL"),
        Family::Unspecified => ProxyInfo::without_addresses("UNSPEC"),
        Family::V4 => addresses::<4, Ipv4Addr>(rest).ok_or_else(|| insufficient("IPv4"))?,
        Family::V6 => addresses::<16, Ipv6Addr>(rest).ok_or_else(|| insufficient("IPv6"))?,
    };
    Ok(Some((end, info)))
}

#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    V4,
    V6,
}

fn family(family_and_protocol: u8) -> Result<Family, Reject> {
    match (family_and_protocol >> 4, family_and_protocol & 0xf) {
        (0, 0 | STREAM) => Ok(Family::Unspecified),
        (1, STREAM) => Ok(Family::V4),
        (2, STREAM) => Ok(Family::V6),
        (family, STREAM) => {
            Err(Reject::proxy_header(&format!("unsupported address family {family}")))
        }
        _ => Err(Reject::proxy_header("only TCP protocol is supported")),
    }
}

fn insufficient(family: &str) -> Reject {
    Reject::proxy_header(&format!("insufficient address data for {family}"))
}

/// Reads two addresses of `N` bytes and two ports, all in network order, from the start of `bytes`.
fn addresses<const N: usize, A>(bytes: &[u8]) -> Option<ProxyInfo>
where
    A: From<[u8; N]> + Into<IpAddr>,
{
    let (from, rest) = bytes.split_first_chunk::<N>()?;
    let (to, rest) = rest.split_first_chunk::<N>()?;
    let (from_port, rest) = rest.split_first_chunk::<2>()?;
    let to_port = rest.first_chunk::<2>()?;
    let socket = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(A::from(*address).into(), u16::from_be_bytes(*port))
    };
    Some(ProxyInfo::with_addresses(socket(from, from_port), socket(to, to_port)))
}
