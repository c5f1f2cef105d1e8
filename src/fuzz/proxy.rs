//! PROXY headers.

use std::net::{IpAddr, SocketAddr};

use super::{Input, Refusal, find, refusal};
use crate::http::{ProxyInfo, ProxyMode, ProxyParse, ProxyProtocol, TrustList, parse_proxy_header};

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1 (proxy-protocol.txt section 2.1).
const MOST_1: usize = 107;
/// The most bytes after the fixed part of version 2 that this server takes.
const MOST_2: usize = 4096;

type Answer = Result<ProxyParse, Refusal>;

/// PROXY headers: arrival in pieces and what follows change nothing, what is accepted names the
/// addresses that the specification says, and only peers that may send one are heard.
///
/// The input: control bytes (bits 0 and 1 of the first: which versions are read), then the wire.
///
/// # Panics
/// One of these does not hold.
pub fn proxy(data: &[u8]) {
    let Some(input) = Input::new(data) else { return };
    let modes = [ProxyMode::Off, ProxyMode::V1, ProxyMode::V2, ProxyMode::Auto];
    let mode = modes[usize::from(input.control[0] & 3)];
    let wire = input.wire;
    let whole = parse(wire, mode);

    for cuts in input.arrivals() {
        let answers = cuts.iter().map(|&cut| parse(&wire[..cut], mode));
        let first = answers.into_iter().find(|answer| *answer != Ok(ProxyParse::Incomplete));
        assert_eq!(first.unwrap_or(Ok(ProxyParse::Incomplete)), whole, "in pieces {cuts:?}");
    }
    if whole != Ok(ProxyParse::Incomplete) {
        assert_eq!(parse(&[wire, b"\r\nGET / HTTP/1.1\r\n"].concat(), mode), whole);
    }
    check_peers(wire, mode, &whole);

    let begins = |signature: &[u8]| {
        let len = wire.len().min(signature.len());
        wire[..len] == signature[..len]
    };
    let first = matches!(mode, ProxyMode::V1 | ProxyMode::Auto) && begins(SIGNATURE_1);
    let second = matches!(mode, ProxyMode::V2 | ProxyMode::Auto) && begins(SIGNATURE_2);
    match whole {
        Ok(ProxyParse::Absent) => assert!(!first && !second),
        Ok(ProxyParse::Incomplete) => {
            assert!((first && wire.len() < MOST_1) || (second && wire.len() < 16 + MOST_2));
            // A length that will not be waited for is refused at once.
            let announced = wire.get(14..16).filter(|_| second && wire.len() >= 16);
            let announced =
                announced.map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]));
            assert!(announced <= MOST_2);
        }
        Err((status, ..)) => assert!((first || second) && status == 400),
        Ok(ProxyParse::Header { len, info }) => {
            assert!(
                wire.len() >= len && parse(&wire[..len - 1], mode) == Ok(ProxyParse::Incomplete)
            );
            let header = &wire[..len];
            let expected = if first { version_1(header) } else { version_2(header) };
            assert_eq!(info, expected);
        }
    }
}

fn parse(wire: &[u8], mode: ProxyMode) -> Answer {
    parse_proxy_header(wire, mode).map_err(|reject| refusal(&reject))
}

/// A peer on the list and one on a unix socket are heard, any other is refused if it sends a header.
fn check_peers(wire: &[u8], mode: ProxyMode, whole: &Answer) {
    let allowed = TrustList::parse(&["10.0.0.0/8".to_owned()]).expect("a network");
    let protocol = ProxyProtocol::new(mode, allowed);
    let from = |peer: Option<[u8; 4]>| {
        protocol.parse(wire, peer.map(IpAddr::from)).map_err(|reject| refusal(&reject))
    };
    assert_eq!(from(None), *whole);
    assert_eq!(from(Some([10, 1, 2, 3])), *whole);
    match from(Some([11, 1, 2, 3])) {
        Err((403, ..)) => assert!(matches!(
            whole,
            Ok(ProxyParse::Header { .. } | ProxyParse::Incomplete) | Err(_)
        )),
        other => assert!(
            other == *whole && matches!(whole, Ok(ProxyParse::Absent | ProxyParse::Incomplete))
        ),
    }
}

/// Section 2.1 of proxy-protocol.txt, read in the plainest way.
fn version_1(header: &[u8]) -> ProxyInfo {
    assert!(header.len() <= MOST_1);
    assert_eq!(find(header, b"\r\n"), Some(header.len() - 2));
    let text = std::str::from_utf8(header).expect("version 1 is text").trim_end_matches("\r\n");
    assert!(!text.contains(|symbol: char| symbol.is_control()));
    let fields: Vec<_> = text.split(' ').collect();
    let protocol = match fields[1] {
        "TCP4" => "TCP4",
        "TCP6" => "TCP6",
        other => {
            assert_eq!(other, "UNKNOWN");
            return ProxyInfo { protocol: "UNKNOWN", source: None, destination: None };
        }
    };
    let [_, _, source, destination, from, to] = fields[..] else {
        panic!("six fields: {text}");
    };
    let address = |host: &str, port: &str| {
        let host: IpAddr = host.parse().expect("an address");
        assert_eq!(host.is_ipv4(), protocol == "TCP4");
        let number: u16 = port.parse().expect("a port");
        assert_eq!(number.to_string(), port, "no zeros or signs before it");
        SocketAddr::new(host, number)
    };
    ProxyInfo {
        protocol,
        source: Some(address(source, from)),
        destination: Some(address(destination, to)),
    }
}

/// Section 2.2 of proxy-protocol.txt, read in the plainest way.
fn version_2(header: &[u8]) -> ProxyInfo {
    let none = |protocol| ProxyInfo { protocol, source: None, destination: None };
    let length = usize::from(header[14]) * 256 + usize::from(header[15]);
    assert_eq!(header.len(), 16 + length);
    assert_eq!(header[12] >> 4, 2);
    let size = match (header[12] & 15, header[13]) {
        (0, _) => return none("LOCAL"),
        (1, 0x00 | 0x01) => return none("UNSPEC"),
        (1, 0x11) => 4,
        (command, family) => {
            assert_eq!((command, family), (1, 0x21));
            16
        }
    };
    let body = &header[16..];
    let host = |bytes: &[u8]| match <[u8; 4]>::try_from(bytes) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("16 bytes")),
    };
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let source = SocketAddr::new(host(&body[..size]), port(2 * size));
    let destination = SocketAddr::new(host(&body[size..2 * size]), port(2 * size + 2));
    let protocol = if size == 4 { "TCP4" } else { "TCP6" };
    ProxyInfo { protocol, source: Some(source), destination: Some(destination) }
}
