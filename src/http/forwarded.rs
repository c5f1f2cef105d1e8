//! Which peers are trusted, and what headers of a proxy may do: the scheme headers, and names
//! with an underscore, which CGI's mapping cannot tell from those with a hyphen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What happens to a header whose name contains "_" (setting `header_map`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderMap {
    /// It is left out, silently.
    #[default]
    Drop,
    /// The request is refused with 400.
    Refuse,
    /// It is kept, though it may be mistaken for its twin with hyphens.
    Dangerous,
}

/// The rules for headers that a proxy in front may set; the same for all connections.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    header_map: HeaderMap,
    any_forwarder: bool,
    forwarders: Vec<Vec<u8>>,
    schemes: Vec<(Vec<u8>, Vec<u8>)>,
    /// One bit for the shape of each scheme header's name: most other names fail this test.
    scheme_shapes: u64,
}

/// What becomes of a header whose name has an underscore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Underscore {
    Keep,
    Drop,
    Refuse,
}

impl Policy {
    /// `forwarders` are names (setting `forwarder_headers`; "*" means any) and `schemes` pairs of
    /// name and value that means https (setting `secure_scheme_headers`). Names have to be in
    /// upper case: others match nothing.
    #[must_use]
    pub fn new(header_map: HeaderMap, forwarders: &[String], schemes: &[(String, String)]) -> Self {
        let upper = |name: &[u8]| !name.iter().any(u8::is_ascii_lowercase);
        let forwarded = forwarders.iter().filter_map(|name| latin_1(name));
        let schemes: Vec<_> = schemes
            .iter()
            .filter_map(|(name, value)| Some((latin_1(name)?, latin_1(value)?)))
            .filter(|(name, _)| upper(name))
            .collect();
        Self {
            header_map,
            any_forwarder: forwarders.iter().any(|name| name == "*"),
            forwarders: forwarded.filter(|name| upper(name)).collect(),
            scheme_shapes: schemes.iter().fold(0, |bits, (name, _)| bits | shape(name)),
            schemes,
        }
    }

    /// The value with which the header `name` means https, if it is a scheme header.
    #[inline]
    pub(super) fn secure_value(&self, name: &[u8]) -> Option<&[u8]> {
        if self.scheme_shapes & shape(name) == 0 {
            return None;
        }
        let (_, value) = self.schemes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Decides about a name with an underscore.
    pub(super) fn underscore(&self, name: &[u8], trusted: bool) -> Underscore {
        let forwarded = || {
            self.any_forwarder
                || self.forwarders.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        match self.header_map {
            _ if trusted && forwarded() => Underscore::Keep,
            HeaderMap::Dangerous => Underscore::Keep,
            HeaderMap::Drop => Underscore::Drop,
            HeaderMap::Refuse => Underscore::Refuse,
        }
    }
}

/// A bit that depends on the length of a name and its first letter, whatever the case.
fn shape(name: &[u8]) -> u64 {
    let first = name.first().map_or(0, |byte| usize::from(byte & 0x1f));
    1 << ((name.len() ^ first) % 64)
}

/// `text` as bytes on the wire; none if it has characters that cannot be sent.
fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}

/// An item of an address list that is neither an address, nor a network, nor "*".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork(String);

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadNetwork {}

/// Peers whose word is taken (settings `forwarded_allow_ips`, `proxy_allow_ips`).
///
/// An IPv4 peer on an IPv6 socket has an IPv6 address and matches IPv6 networks only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustList {
    all: bool,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl TrustList {
    /// Reads addresses, networks (`10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fd00::/8`) and "*".
    ///
    /// # Errors
    /// The first item that is none of these, or a network with bits set beyond its prefix.
    pub fn parse(items: &[String]) -> Result<Self, BadNetwork> {
        let mut list = Self::default();
        for item in items {
            if item == "*" {
                list.all = true;
                continue;
            }
            let unknown =
                || BadNetwork(format!("'{item}' does not appear to be an IPv4 or IPv6 network"));
            let (address, mask) = match item.split_once('/') {
                Some((address, mask)) => (address, Some(mask)),
                None => (item.as_str(), None),
            };
            let host_bits = match address.parse().map_err(|_| unknown())? {
                IpAddr::V4(address) => {
                    let mask = mask.map_or(Some(u32::MAX), mask_v4).ok_or_else(unknown)?;
                    list.v4.push((address.to_bits(), mask));
                    address.to_bits() & !mask != 0
                }
                IpAddr::V6(address) => {
                    let mask = mask.map_or(Some(u128::MAX), mask_v6).ok_or_else(unknown)?;
                    list.v6.push((address.to_bits(), mask));
                    address.to_bits() & !mask != 0
                }
            };
            if host_bits {
                return Err(BadNetwork(format!("{item} has host bits set")));
            }
        }
        Ok(list)
    }

    /// Whether `peer` is on the list.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.all
            || match peer {
                IpAddr::V4(peer) => holds_v4(&self.v4, peer),
                IpAddr::V6(peer) => holds_v6(&self.v6, peer),
            }
    }
}

fn holds_v4(networks: &[(u32, u32)], peer: Ipv4Addr) -> bool {
    networks.iter().any(|(network, mask)| peer.to_bits() & mask == *network)
}

fn holds_v6(networks: &[(u128, u128)], peer: Ipv6Addr) -> bool {
    networks.iter().any(|(network, mask)| peer.to_bits() & mask == *network)
}

/// A prefix length or a netmask.
fn mask_v4(text: &str) -> Option<u32> {
    if let Ok(mask) = text.parse::<Ipv4Addr>() {
        let mask = mask.to_bits();
        return (mask.leading_ones() + mask.trailing_zeros() >= 32).then_some(mask);
    }
    let prefix = prefix(text, 32)?;
    Some(u32::MAX.checked_shl(32 - prefix).unwrap_or(0))
}

fn mask_v6(text: &str) -> Option<u128> {
    let prefix = prefix(text, 128)?;
    Some(u128::MAX.checked_shl(128 - prefix).unwrap_or(0))
}

fn prefix(text: &str, max: u32) -> Option<u32> {
    // `parse` alone would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|prefix| digits && *prefix <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Result<TrustList, String> {
        let items: Vec<_> = items.iter().map(|&item| item.to_owned()).collect();
        TrustList::parse(&items).map_err(|error| error.to_string())
    }

    fn holds(items: &[&str], peer: &str) -> bool {
        list(items).unwrap().contains(peer.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks() {
        assert!(holds(&["127.0.0.1", "::1"], "127.0.0.1"));
        assert!(holds(&["127.0.0.1", "::1"], "::1"));
        assert!(!holds(&["127.0.0.1", "::1"], "127.0.0.2"));
        assert!(holds(&["10.0.0.0/8"], "10.200.3.4"));
        assert!(!holds(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(holds(&["10.0.0.0/255.0.0.0"], "10.1.1.1"));
        assert!(holds(&["0.0.0.0/0"], "8.8.8.8"));
        assert!(!holds(&["0.0.0.0/0"], "::1"));
        assert!(holds(&["fd00::/8", "::/128"], "fdff::1"));
        assert!(!holds(&["127.0.0.0/8"], "::ffff:127.0.0.1"));
        assert!(holds(&["*"], "2001:db8::1"));
        assert!(!holds(&[], "127.0.0.1"));
    }

    #[test]
    fn errors_name_the_item() {
        assert_eq!(
            list(&["nope"]).unwrap_err(),
            "'nope' does not appear to be an IPv4 or IPv6 network"
        );
        for bad in ["1.2.3.4/33", "1.2.3.4/", "1.2.3.0/+24", "::/129", "1.2.3.4/255.0.255.0", ""] {
            assert!(list(&[bad]).unwrap_err().contains("does not appear"), "{bad}");
        }
        assert_eq!(list(&["10.0.0.1/8"]).unwrap_err(), "10.0.0.1/8 has host bits set");
    }

    #[test]
    fn underscores_follow_trust_and_mode() {
        let names = ["SCRIPT_NAME".to_owned(), "path_info".to_owned()];
        let policy = Policy::new(HeaderMap::Drop, &names, &[]);
        assert_eq!(policy.underscore(b"Script_Name", true), Underscore::Keep);
        assert_eq!(policy.underscore(b"Script_Name", false), Underscore::Drop);
        assert_eq!(policy.underscore(b"Path_Info", true), Underscore::Drop);
        let policy = Policy::new(HeaderMap::Refuse, &["*".to_owned()], &[]);
        assert_eq!(policy.underscore(b"a_b", true), Underscore::Keep);
        assert_eq!(policy.underscore(b"a_b", false), Underscore::Refuse);
        let policy = Policy::new(HeaderMap::Dangerous, &[], &[]);
        assert_eq!(policy.underscore(b"a_b", false), Underscore::Keep);
    }

    #[test]
    fn scheme_headers_need_upper_case_names() {
        let pairs = [("X-FORWARDED-PROTO", "https"), ("x-lower", "on")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let policy = Policy::new(HeaderMap::Drop, &[], &pairs);
        assert_eq!(policy.secure_value(b"X-Forwarded-Proto"), Some(&b"https"[..]));
        assert_eq!(policy.secure_value(b"X-Lower"), None);
        assert_eq!(policy.secure_value(b"X-Forwarded-Prot0"), None);
    }
}
