//! Networks: the addresses that begin alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network in canonical form: IPv4 in IPv6 (`::ffff:10.0.0.0/104`) is IPv4, bits behind the prefix are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `ADDRESS/PREFIX` (RFC 4632, RFC 4291 section 2.3); an address alone is a network of one.
    pub(super) fn read(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
            None => most,
        };
        if prefix > most {
            return None;
        }
        let (base, prefix) = match (address.to_canonical(), address) {
            (IpAddr::V4(inner), IpAddr::V6(_)) if prefix >= 96 => (IpAddr::V4(inner), prefix - 96),
            _ => (address, prefix),
        };
        Some(Network { base: cut(base, prefix), prefix })
    }

    /// Whether `address` is in it, which is in canonical form.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && cut(address, self.prefix) == self.base
    }
}

/// The first `prefix` bits, the others 0.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_read_and_contain_what_begins_alike() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.7.7.7", "11.0.0.0"),
            ("::1", "::1", "::2"),
        ] {
            let network = Network::read(text).unwrap_or_else(|| panic!("{text}"));
            let contains = |address: &str| network.contains(address.parse().expect("an address"));
            assert!(contains(inside) && !contains(outside), "{text}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "a/8",
            " ::1",
            "10.0.0.0/0008",
        ] {
            assert_eq!(Network::read(text), None, "{text}");
        }
    }

    proptest! {
        /// Against the bits one by one.
        #[test]
        fn an_address_is_inside_when_its_first_bits_are_the_same(base: u32, other: u32, prefix in 0u8..=32) {
            let network = Network::read(&format!("{}/{prefix}", Ipv4Addr::from_bits(base))).expect("a network");
            let alike = (0..u32::from(prefix)).all(|bit| base << bit >> 31 == other << bit >> 31);
            prop_assert_eq!(network.contains(IpAddr::V4(Ipv4Addr::from_bits(other))), alike);
        }
    }
}
