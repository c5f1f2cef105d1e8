use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::http::quote;

/// Protocol, source and destination of a header that is followed by `rest`.
fn accepted(header: &[u8], mode: ProxyMode) -> (&'static str, String, String) {
    let wire = [header, b"GET /"].concat();
    match parse_proxy_header(&wire, mode) {
        Ok(ProxyParse::Header { len, info }) => {
            assert_eq!(len, header.len());
            let text =
                |address: Option<SocketAddr>| address.map_or_else(String::new, |a| a.to_string());
            (info.protocol, text(info.source), text(info.destination))
        }
        other => panic!("{:?} gave {other:?}", header.escape_ascii().to_string()),
    }
}

fn refused(wire: &[u8]) -> String {
    match parse_proxy_header(wire, ProxyMode::Auto) {
        Err(reject) => {
            assert_eq!(
                (reject.status, reject.reason, reject.has_request),
                (400, "Bad Request", false)
            );
            assert_eq!(reject.page_message(), format!("'{}'", reject.message));
            reject.message
        }
        other => panic!("{:?} gave {other:?}", wire.escape_ascii().to_string()),
    }
}

/// A header of version 2.
fn v2(version_and_command: u8, family_and_protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[version_and_command, family_and_protocol], &length, rest].concat()
}

const IPV4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xc8, 0x22, 0x01, 0xbb];

fn ipv6() -> Vec<u8> {
    let addresses: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
    let mut bytes = Vec::new();
    for address in addresses {
        let IpAddr::V6(address) = address else { panic!("written as IPv6") };
        bytes.extend(address.octets());
    }
    bytes.extend([0x04, 0xd2, 0, 80]);
    bytes
}

#[test]
fn lines_of_version_1() {
    for (line, protocol, from, to) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443",
            "TCP4",
            "192.0.2.1:51234",
            "198.51.100.2:443",
        ),
        (
            "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535",
            "TCP4",
            "0.0.0.0:0",
            "255.255.255.255:65535",
        ),
        ("PROXY TCP6 2001:db8::1 ::1 1234 80", "TCP6", "[2001:db8::1]:1234", "[::1]:80"),
        (
            "PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::ffff:1.2.3.4 1 2",
            "TCP6",
            "[2001:db8::1]:1",
            "[::ffff:1.2.3.4]:2",
        ),
        ("PROXY UNKNOWN", "UNKNOWN", "", ""),
        ("PROXY UNKNOWN ", "UNKNOWN", "", ""),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535", "UNKNOWN", "", ""),
    ] {
        let wire = format!("{line}\r\n");
        for mode in [ProxyMode::V1, ProxyMode::Auto] {
            let got = accepted(wire.as_bytes(), mode);
            assert_eq!(got, (protocol, from.to_owned(), to.to_owned()), "{line}");
        }
        let other = parse_proxy_header(wire.as_bytes(), ProxyMode::V2);
        assert_eq!(other, Ok(ProxyParse::Absent), "{line}");
    }
}

#[test]
fn lines_that_are_refused() {
    for line in [
        "PROXY TCP4",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.4\t1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.04 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2",
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP4 1.2.3.4 ::1 1 2",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2",
        "PROXY TCP6 [::1] ::1 1 2",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1",
        "PROXY UNKNOWN a\nb",
        "PROXY UNKNOWN a\rb",
        "PROXY UNKNOWN \0",
    ] {
        let wanted = format!("Invalid PROXY line: {}", quote::text(line.as_bytes()));
        assert_eq!(refused(format!("{line}\r\n").as_bytes()), wanted);
    }
    for protocol in ["", "UDP4", "tcp4", "UNKNOWNS"] {
        let message = refused(format!("PROXY {protocol} 1.2.3.4 1.2.3.4 1 2\r\n").as_bytes());
        assert_eq!(message, format!("Invalid PROXY line: \"protocol '{protocol}' not supported\""));
    }
    for port in ["65536", "-1", "+1", "080", "00", "1_0", "", "0x1", "x", "1\n", "99999999999"] {
        for ports in [format!("{port} 1"), format!("1 {port}")] {
            let line = format!("PROXY TCP4 1.2.3.4 1.2.3.4 {ports}");
            let message = refused(format!("{line}\r\n").as_bytes());
            let wanted = quote::text(format!("invalid port {line}").as_bytes());
            assert_eq!(message, format!("Invalid PROXY line: {wanted}"));
        }
    }
}

#[test]
fn lines_have_at_most_107_bytes() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16));
    assert_eq!(accepted(line(107).as_bytes(), ProxyMode::V1).0, "UNKNOWN");
    let long = "Invalid PROXY line: 'no line end within 107 bytes'";
    assert_eq!(refused(line(108).as_bytes()), long);
    // It does not take the end of the line to know.
    let start = &line(108).into_bytes()[..107];
    assert_eq!(refused(start), long);
    assert_eq!(parse_proxy_header(&start[..106], ProxyMode::V1), Ok(ProxyParse::Incomplete));
}

#[test]
fn headers_of_version_2() {
    let no = String::new;
    let four = ("TCP4", "192.0.2.1:51234".to_owned(), "198.51.100.2:443".to_owned());
    let six = ("TCP6", "[2001:db8::1]:1234".to_owned(), "[2001:db8::2]:80".to_owned());
    let tlv = [IPV4, &[0x01, 0, 2, b'h', b'2', 0x04, 0, 0]].concat();
    for (header, expected) in [
        (v2(0x21, 0x11, IPV4), four.clone()),
        (v2(0x21, 0x11, &tlv), four),
        (v2(0x21, 0x21, &ipv6()), six),
        (v2(0x21, 0x00, b""), ("UNSPEC", no(), no())),
        (v2(0x21, 0x01, b"whatever"), ("UNSPEC", no(), no())),
        (v2(0x20, 0x00, b""), ("LOCAL", no(), no())),
        (v2(0x20, 0x11, IPV4), ("LOCAL", no(), no())),
        (v2(0x20, 0xff, &[0; 4096]), ("LOCAL", no(), no())),
    ] {
        for mode in [ProxyMode::V2, ProxyMode::Auto] {
            assert_eq!(accepted(&header, mode), expected);
        }
        assert_eq!(parse_proxy_header(&header, ProxyMode::V1), Ok(ProxyParse::Absent));
    }
}

#[test]
fn headers_of_version_2_that_are_refused() {
    for (header, what) in [
        (v2(0x11, 0x11, IPV4), "unsupported version 1"),
        (v2(0x01, 0x11, IPV4), "unsupported version 0"),
        (v2(0x22, 0x11, IPV4), "unsupported command 2"),
        (v2(0x2f, 0x11, IPV4), "unsupported command 15"),
        (v2(0x21, 0x12, IPV4), "only TCP protocol is supported"),
        (v2(0x21, 0x10, IPV4), "only TCP protocol is supported"),
        (v2(0x21, 0x02, IPV4), "only TCP protocol is supported"),
        (v2(0x21, 0x31, &[0; 216]), "unsupported address family 3"),
        (v2(0x21, 0xf1, IPV4), "unsupported address family 15"),
        (v2(0x21, 0x11, &IPV4[..11]), "insufficient address data for IPv4"),
        (v2(0x21, 0x21, &ipv6()[..35]), "insufficient address data for IPv6"),
        (v2(0x21, 0x21, IPV4), "insufficient address data for IPv6"),
        (v2(0x21, 0x11, &[0; 4097]), "4097 bytes are more than 4096"),
        (v2(0x20, 0x00, &vec![0; 65535]), "65535 bytes are more than 4096"),
    ] {
        assert_eq!(refused(&header), format!("Invalid PROXY header: {what}"));
    }
    // What is wrong is told by the byte itself.
    assert_eq!(refused(&v2(0x11, 0, b"")[..13]), "Invalid PROXY header: unsupported version 1");
    assert!(refused(&v2(0x20, 0, &[0; 4097])[..16]).contains("more than 4096"));
}

#[test]
fn bytes_that_are_no_header_are_http() {
    let v2 = v2(0x21, 0x11, IPV4);
    for (wire, mode) in [
        (&b"GET / HTTP/1.1\r\n"[..], ProxyMode::Auto),
        (b"PO", ProxyMode::Auto),
        (b"PROXY\t", ProxyMode::V1),
        (b"PROXYX", ProxyMode::V1),
        (b"proxy TCP4", ProxyMode::Auto),
        (b"\r\nG", ProxyMode::Auto),
        (b"\r\n\r\nG", ProxyMode::V2),
        (b"\r\n\r\n\0\r\nQUIZ", ProxyMode::V2),
        (b"P", ProxyMode::V2),
        (b"\r", ProxyMode::V1),
        (b"", ProxyMode::Off),
        (b"PROXY UNKNOWN\r\n", ProxyMode::Off),
        (&v2, ProxyMode::Off),
    ] {
        assert_eq!(parse_proxy_header(wire, mode), Ok(ProxyParse::Absent), "{wire:?} {mode:?}");
    }
    for (wire, mode) in [
        (&b""[..], ProxyMode::Auto),
        (b"P", ProxyMode::V1),
        (b"PROXY", ProxyMode::Auto),
        (b"\r\n", ProxyMode::V2),
        (&v2[..11], ProxyMode::Auto),
        (&v2[..27], ProxyMode::V2),
    ] {
        assert_eq!(parse_proxy_header(wire, mode), Ok(ProxyParse::Incomplete), "{wire:?} {mode:?}");
    }
}

#[test]
fn only_peers_on_the_list_may_send_a_header() {
    let list = TrustList::parse(&["10.0.0.0/8".to_owned()]).unwrap();
    let proxy = ProxyProtocol::new(ProxyMode::Auto, list);
    let friend = Some(IpAddr::from([10, 1, 2, 3]));
    let stranger = Some(IpAddr::from([192, 0, 2, 1]));
    let line = b"PROXY UNKNOWN\r\n";
    for peer in [friend, None] {
        let found = proxy.parse(line, peer);
        assert!(matches!(found, Ok(ProxyParse::Header { len: 15, .. })), "{peer:?}");
    }
    // The signature is enough, whatever follows.
    for wire in [&line[..], b"PROXY ", b"PROXY nonsense\r\n", v2::SIGNATURE] {
        let reject = proxy.parse(wire, stranger).unwrap_err();
        assert_eq!((reject.status, reject.page_message()), (403, "Request forbidden".to_owned()));
        assert_eq!(reject.message, "Proxy request from '192.0.2.1' not allowed");
    }
    assert_eq!(proxy.parse(b"PROXY", stranger), Ok(ProxyParse::Incomplete));
    assert_eq!(proxy.parse(b"GET / HTTP/1.1", stranger), Ok(ProxyParse::Absent));
    let off = ProxyProtocol::default();
    assert!(!off.is_on() && proxy.is_on());
    assert_eq!(off.parse(line, stranger), Ok(ProxyParse::Absent));
}

fn wires() -> impl Strategy<Value = Vec<u8>> {
    let line = "PROXY (TCP4|TCP6|UNKNOWN|X) ?([0-9.]{0,12}|[0-9a-f:]{0,12}|1\\.2\\.3\\.4|::1) \
                (1\\.2\\.3\\.4|::1) [0-9]{0,6} [0-9]{1,5}[ \r\n]{0,2}";
    let text = line.prop_map(String::into_bytes);
    let long = prop::collection::vec(b' '..=b'~', 90..115)
        .prop_map(|rest| [b"PROXY UNKNOWN ", rest.as_slice(), b"\r\n"].concat());
    let byte = |usual: &'static [u8]| prop_oneof![prop::sample::select(usual), any::<u8>()];
    let binary = (
        byte(&[0x20, 0x21]),
        byte(&[0x00, 0x01, 0x11, 0x21]),
        prop_oneof![0u16..40, any::<u16>()],
        prop::collection::vec(any::<u8>(), 0..60),
    )
        .prop_map(|(command, family, length, rest)| {
            [v2::SIGNATURE, &[command, family], &length.to_be_bytes(), &rest].concat()
        });
    prop_oneof![text, long, binary, prop::collection::vec(any::<u8>(), 0..30)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Whatever the pieces it comes in, the first answer that is not "incomplete" is that for all of
    /// it, up to the blame.
    #[test]
    fn cutting_changes_nothing(
        wire in wires(),
        mode in prop::sample::select(vec![ProxyMode::Off, ProxyMode::V1, ProxyMode::V2, ProxyMode::Auto]),
    ) {
        let outcome = |wire: &[u8]| parse_proxy_header(wire, mode).map_err(|reject| reject.status);
        let whole = outcome(&wire);
        let first = (0..=wire.len()).map(|end| outcome(&wire[..end]));
        let first = first.into_iter().find(|found| *found != Ok(ProxyParse::Incomplete));
        prop_assert_eq!(first.unwrap_or(Ok(ProxyParse::Incomplete)), whole);
        if let Ok(ProxyParse::Header { len, info }) = whole {
            prop_assert!(len <= wire.len() && len <= 16 + 4096);
            prop_assert_eq!(info.source.is_some(), info.protocol.starts_with("TCP"));
            prop_assert_eq!(info.source.is_some(), info.destination.is_some());
        }
    }
}
