//! What it costs to find out that a password does not hold: the same for every name, known or not, so that the time
//! does not tell which names there are.

use super::apr1;
use super::hash::Hash;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::hint::black_box;
use std::iter;

/// What every password costs that does not hold: of each kind of hash that a list of users has, the costliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// The highest cost of bcrypt: the binary logarithm of how often it goes round.
    bcrypt: Option<u32>,
    apr1: bool,
    sha1: bool,
}

/// A hash that is computed for the sake of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoy {
    /// With that cost.
    Bcrypt(u32),
    Apr1,
    Sha1,
}

impl Work {
    /// That of a list with these hashes.
    pub(super) fn of<'a>(hashes: impl Iterator<Item = &'a Hash>) -> Work {
        hashes.fold(Work::default(), |mut work, hash| {
            match hash {
                Hash::Bcrypt { cost, .. } => work.bcrypt = work.bcrypt.max(Some(*cost)),
                Hash::Apr1 { .. } => work.apr1 = true,
                Hash::Sha1(_) => work.sha1 = true,
            }
            work
        })
    }

    /// What is to be done beside `own`, the hash of somebody who is known. One step of bcrypt's cost is twice the work, so one
    /// hash of the own cost and one of each from there to below the highest make up the highest exactly.
    pub(super) fn beside(self, own: Option<&Hash>) -> impl Iterator<Item = Decoy> {
        let bcrypt = self.bcrypt.into_iter().flat_map(move |most| match own {
            Some(Hash::Bcrypt { cost, .. }) => *cost..most,
            _ => most..most + 1,
        });
        let apr1 = self.apr1 && !matches!(own, Some(Hash::Apr1 { .. }));
        let sha1 = self.sha1 && !matches!(own, Some(Hash::Sha1(_)));
        let others = iter::repeat_n(Decoy::Apr1, apr1.into()).chain(iter::repeat_n(Decoy::Sha1, sha1.into()));
        bcrypt.map(Decoy::Bcrypt).chain(others)
    }
}

impl Decoy {
    /// Computes it.
    pub(super) fn run(self, password: &[u8]) {
        match self {
            Decoy::Bcrypt(cost) => drop(black_box(Hash::bcrypt(cost, [0x5a; 16], password))),
            Decoy::Apr1 => drop(black_box(apr1::hash(password, b"decoying"))),
            Decoy::Sha1 => drop(black_box(digest(&SHA1_FOR_LEGACY_USE_ONLY, password))),
        }
    }
}
