//! Tokens that are remembered, against a list that keeps them all.

use super::super::{KeyRing, REMEMBERED_MAX, Remembered, Wishes};
use super::*;
use crate::access;
use proptest::prelude::*;
use std::rc::Rc;

fn until(digest: [u8; 32], expires: i64) -> Rc<Claims> {
    Rc::new(Claims { all: serde_json::Map::new(), digest, expires })
}

/// A digest of the set `set`; the number tells it from others.
fn digest(set: u16, number: u8) -> [u8; 32] {
    let mut digest = [number; 32];
    [digest[0], digest[1]] = set.to_le_bytes();
    digest
}

#[test]
fn a_token_is_known_to_who_verified_it_until_it_ends() {
    let mut store = Remembered::default();
    let one = digest(7, 1);
    assert!(store.get(&one, 0, NOW).is_none());
    let claims = until(one, NOW + 10);
    store.put(0, claims.clone(), NOW);
    let found = store.get(&one, 0, NOW + 9).expect("it is known");
    assert!(Rc::ptr_eq(&found, &claims));
    assert!(store.get(&one, 0, NOW + 10).is_none(), "it has ended");
    assert!(store.get(&one, 1, NOW).is_none(), "another verifier");
    assert!(store.get(&digest(7, 2), 0, NOW).is_none() && store.get(&digest(8, 1), 0, NOW).is_none());
    store.put(1, until(one, NOW + 5), NOW);
    assert!(store.get(&one, 0, NOW).is_some() && store.get(&one, 1, NOW).is_some());
    store.clear();
    assert!(store.get(&one, 0, NOW).is_none() && store.get(&one, 1, NOW).is_none());
}

#[test]
fn room_is_bounded_and_what_has_ended_or_is_not_used_goes_first() {
    let mut store = Remembered::default();
    let places: Vec<[u8; 32]> = (0..6).map(|number| digest(3, number)).collect();
    for one in &places[..4] {
        store.put(0, until(*one, NOW + 100), NOW);
    }
    for one in [&places[0], &places[2], &places[3]] {
        assert!(store.get(one, 0, NOW).is_some());
    }
    store.put(0, until(places[4], NOW + 5), NOW);
    let known = |store: &mut Remembered, now| -> Vec<usize> {
        (0..6).filter(|number| store.get(&places[*number], 0, now).is_some()).collect()
    };
    assert_eq!(known(&mut store, NOW), [0, 2, 3, 4], "the one that was not used went");
    store.put(0, until(places[5], NOW + 100), NOW + 50);
    assert_eq!(known(&mut store, NOW + 50), [0, 2, 3, 5], "the one that has ended went");
    let all = (0..u16::MAX).step_by(7).map(|set| digest(set, 9)).collect::<Vec<_>>();
    all.iter().for_each(|one| store.put(0, until(*one, NOW + 100), NOW));
    let kept = all.iter().filter(|one| store.get(one, 0, NOW).is_some()).count();
    assert!((REMEMBERED_MAX / 2..=REMEMBERED_MAX).contains(&kept), "{kept}");
}

proptest! {
    /// What is found was put there by the same verifier, is the newest of its kind, and has not ended.
    #[test]
    fn nothing_is_found_that_was_not_put(
        steps in proptest::collection::vec((0..3u16, 0..4u8, 0..2u32, 0..20i64, any::<bool>()), 0..60),
    ) {
        let (mut store, mut naive) = (Remembered::default(), std::collections::HashMap::new());
        for (at, (set, number, verifier, life, puts)) in steps.into_iter().enumerate() {
            let (one, now) = (digest(set, number), NOW + at as i64);
            if puts {
                let claims = until(one, now + life);
                store.put(verifier, claims.clone(), now);
                naive.insert((one, verifier), claims);
            }
            if let Some(found) = store.get(&one, verifier, now) {
                let known = &naive[&(one, verifier)];
                prop_assert!(Rc::ptr_eq(&found, known) && now < known.expires);
            } else if puts {
                prop_assert_eq!(life, 0, "what was just put is there");
            }
        }
    }
}

/// A token is verified once for each verifier, until the keys change; a key that is not known is wished for.
#[test]
fn a_ring_remembers_what_it_verified_with_its_keys() {
    let [signer, next] = ["k1", "k2"].map(|kid| Signer::new("ES256", Some(kid)));
    let World { verifier, keys } = World::of([&signer], &[]);
    let wishes = Wishes::new(2);
    let ring = KeyRing::new(keys.clone(), wishes.clone());
    let token = signer.token(&claims());
    let claims_of = |number, token: &str, now| {
        ring.claims((number, &verifier), token.as_bytes(), access::digest(token.as_bytes()), now)
    };
    let first = claims_of(0, &token, NOW).expect("it is good");
    assert!(Rc::ptr_eq(&first, &claims_of(0, &token, NOW + 1).expect("it is known")));
    assert!(!Rc::ptr_eq(&first, &claims_of(1, &token, NOW).expect("it is good")), "another verifier");
    let strangers = (7, &Verifier::default());
    let refused = ring.claims(strangers, token.as_bytes(), access::digest(token.as_bytes()), NOW);
    assert_eq!(refused.err(), Some(Fault::Issuer), "what one accepts is nothing to another");
    assert_eq!(claims_of(0, &token, first.expires).err(), Some(Fault::Expired));
    assert!(!wishes.take(0));

    let later = next.token(&claims());
    assert_eq!(claims_of(0, &later, NOW).err(), Some(Fault::Key { source: 0 }));
    assert!(wishes.take(0) && !wishes.take(0) && !wishes.take(1) && !wishes.take(9));
    ring.set(&World::of([&next], &[]).keys);
    assert!(claims_of(0, &later, NOW).is_ok());
    assert_eq!(claims_of(0, &token, NOW).err(), Some(Fault::Key { source: 0 }), "its key has gone");
    ring.set(&[None]);
    assert!(ring.keys(0).is_none() && ring.keys(1).is_none());
    assert_eq!(claims_of(0, &later, NOW).err(), Some(Fault::NoKeys { source: 0 }));
    assert!(wishes.take(0));
}
