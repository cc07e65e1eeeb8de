//! How many connections a worker has of each address.

use super::worker::Worker;
use crate::base::FastMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Connections by address. Those of one worker are bounded, so this is.
pub(super) type Crowd = FastMap<u128, u32>;

/// One connection of an address, for as long as it is open.
pub(super) struct OfAddress {
    worker: Rc<Worker>,
    key: u128,
}

impl OfAddress {
    /// Counts a connection from `peer`; `None` when there are as many from there as there may be.
    pub(super) fn enter(worker: &Rc<Worker>, peer: SocketAddr, most: u32) -> Option<OfAddress> {
        let key = key_of(peer.ip());
        let mut crowd = worker.crowd.borrow_mut();
        let open = crowd.entry(key).or_insert(0);
        if *open >= most {
            return None; // there are some, so the entry is not new
        }
        *open += 1;
        Some(OfAddress { worker: worker.clone(), key })
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut crowd = self.worker.crowd.borrow_mut();
        match crowd.get_mut(&self.key) {
            Some(open) if *open > 1 => *open -= 1,
            _ => drop(crowd.remove(&self.key)),
        }
    }
}

/// What tells addresses apart: all of IPv4, the first 64 bits of IPv6, of which one host has as many addresses as it likes
/// (RFC 6177). IPv4 within IPv6 is IPv4.
pub(super) fn key_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_whatever_address_it_takes() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "127.0.0.1", false),
        ] {
            let key = |text: &str| key_of(text.parse().expect("an address"));
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        }
    }
}
