//! IP networks as Python's `ipaddress.ip_network` accepts them (strict: no host bits).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::value::quoted;

/// Checks that `text` is an address or a network without host bits: `10.0.0.1`, `10.0.0.0/8`,
/// `10.0.0.0/255.0.0.0`, `10.0.0.0/0.255.255.255`, `fe80::/10`, `fe80::1%eth0`.
///
/// # Errors
/// The message Python gives.
pub fn check(text: &str) -> Result<(), String> {
    let unknown = || format!("{} does not appear to be an IPv4 or IPv6 network", quoted(text));
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let address = parse(address).ok_or_else(unknown)?;
    let (host_bits, length, bits) = match address {
        IpAddr::V4(address) => {
            let length = mask.map_or(Some(32), length_v4).ok_or_else(unknown)?;
            (u128::from(u32::from(address)), length, 32 - length)
        }
        IpAddr::V6(address) => {
            let length = mask.map_or(Some(128), |mask| length(mask, 128)).ok_or_else(unknown)?;
            (u128::from(address), length, 128 - length)
        }
    };
    let inside = 1u128.checked_shl(bits).map_or(u128::MAX, |first| first - 1);
    if host_bits & inside == 0 {
        Ok(())
    } else {
        Err(format!("{address}/{length} has host bits set"))
    }
}

/// An address; IPv6 may carry a zone, which must not be empty.
fn parse(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() && !zone.contains('%') => {
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// A prefix length in decimal.
fn length(text: &str, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|length| digits && *length <= most)
}

/// A prefix length, a netmask (ones first) or a hostmask (zeros first).
fn length_v4(text: &str) -> Option<u32> {
    if let Some(length) = length(text, 32) {
        return Some(length);
    }
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    if mask.leading_ones() + mask.trailing_zeros() == 32 {
        Some(mask.leading_ones())
    } else if mask.leading_zeros() + mask.trailing_ones() == 32 {
        Some(mask.leading_zeros())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn follows_python() {
        for good in [
            "127.0.0.1",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "1.2.3.0/255.255.255.0",
            "1.2.3.0/0.0.0.255",
            "1.2.3.4/255.255.255.255",
            "0.0.0.0/0.0.0.0",
            "::1",
            "::/0",
            "2001:db8::/32",
            "fe80::1%eth0",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (host, shown) in [
            ("1.2.3.4/8", "1.2.3.4/8"),
            ("1.2.3.4/255.0.0.0", "1.2.3.4/8"),
            ("0:0::AB/64", "::ab/64"),
        ] {
            assert_eq!(check(host), Err(format!("{shown} has host bits set")));
        }
        for bad in ["", "x", "1.2.3", "01.2.3.4", "1.2.3.4/33", "1.2.3.4/+8", "::/129", "::/", "*"]
        {
            let message = format!("'{bad}' does not appear to be an IPv4 or IPv6 network");
            assert_eq!(check(bad), Err(message));
        }
        assert!(check("1.2.3.0/255.0.255.0").is_err());
        assert!(check("fe80::1%").is_err());
        assert!(check("1.2.3.4%eth0").is_err());
    }

    proptest! {
        #[test]
        fn a_masked_address_is_a_network(address: u32, length in 0u32..=32) {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let network = Ipv4Addr::from(address & mask);
            prop_assert_eq!(check(&format!("{network}/{length}")), Ok(()));
            let any = Ipv4Addr::from(address);
            prop_assert_eq!(check(&format!("{any}/{length}")).is_ok(), any == network);
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = check(&text);
        }
    }
}
