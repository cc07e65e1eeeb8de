//! Reads a journal: what it amounts to, where it is torn and where it is damaged.
//!
//! After every commit that reached the disk a seal is written, and that needs no wait: what stands before a
//! valid seal was on the disk once. So unreadable bytes before a seal are damage. Unreadable bytes behind the
//! last seal are what a crash leaves of a commit that nobody was told of; from there on nothing is believed.

use super::record::{self, HEAD, MARK, Record};
use super::state::State;
use std::ops::Range;

/// What was wrong with a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes at the end that were never confirmed, and are left out.
    pub(super) torn: u64,
    /// Unreadable places in what had been confirmed.
    pub(super) holes: Vec<Range<usize>>,
}

/// Applies the records of a whole file with a sound head. What damage leaves behind is uncertain: see
/// [`State::damage`].
pub(super) fn replay(bytes: &[u8], salt: u32, now_ms: i64, state: &mut State) -> Found {
    let Survey { mut holes, sealed } = survey(bytes, salt);
    let torn_from = holes.iter().map(|hole| hole.start).find(|start| *start >= sealed);
    let end = torn_from.unwrap_or(bytes.len());
    holes.retain(|hole| hole.start < end);
    let mut at = HEAD.min(bytes.len());
    for hole in &holes {
        apply(bytes, salt, at..hole.start, state);
        at = hole.end;
    }
    if !holes.is_empty() {
        // What stands between two holes is as uncertain as what stands before both.
        state.damage(now_ms);
    }
    apply(bytes, salt, at..end, state);
    Found { torn: (bytes.len() - end) as u64, holes }
}

fn apply(bytes: &[u8], salt: u32, range: Range<usize>, state: &mut State) {
    let mut at = range.start;
    while at < range.end {
        let Some((record, length)) = record::read(&bytes[at..], salt, at as u64) else { return };
        state.apply(&record);
        at += length;
    }
}

struct Survey {
    /// Where no record is.
    holes: Vec<Range<usize>>,
    /// Where the last seal ends.
    sealed: usize,
}

fn survey(bytes: &[u8], salt: u32) -> Survey {
    let mut survey = Survey { holes: Vec::new(), sealed: 0 };
    let mut at = HEAD.min(bytes.len());
    while at < bytes.len() {
        match record::read(&bytes[at..], salt, at as u64) {
            Some((record, length)) => {
                at += length;
                if record == Record::Seal {
                    survey.sealed = at;
                }
            }
            None => {
                let next = next_record(bytes, salt, at + 1);
                survey.holes.push(at..next);
                at = next;
            }
        }
    }
    survey
}

/// Where the next record begins; the end when there is none.
fn next_record(bytes: &[u8], salt: u32, mut from: usize) -> usize {
    while let Some(found) = memchr::memchr(MARK, &bytes[from..]) {
        let at = from + found;
        if record::read(&bytes[at..], salt, at as u64).is_some() {
            return at;
        }
        from = at + 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::record::Entry;
    use super::*;
    use proptest::prelude::*;

    const SALT: u32 = 4711;

    /// A journal of grants 1, 2, 3... to account 1, with a seal after each number in `seals`.
    fn journal(grants: u64, seals: &[u64]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = record::head(SALT).to_vec();
        let mut begins = Vec::new();
        for ceiling in 1..=grants {
            begins.push(bytes.len());
            let grant = Record::Entry(Entry::Grant { account: 1, window: 0, ceiling });
            record::write(&grant, SALT, bytes.len() as u64, &mut bytes);
            if seals.contains(&ceiling) {
                record::write(&Record::Seal, SALT, bytes.len() as u64, &mut bytes);
            }
        }
        (bytes, begins)
    }

    fn read(bytes: &[u8]) -> (State, Found) {
        let mut state = State::default();
        let found = replay(bytes, SALT, 99, &mut state);
        (state, found)
    }

    /// The ceiling, and whether it is certain.
    fn ceiling(state: &State) -> Option<(u64, bool)> {
        let figure = state.accounts.get(&1)?.figure(0)?;
        match figure.known {
            super::super::Known::Ceiling(ceiling) => Some((ceiling, figure.certain)),
            super::super::Known::Spent { .. } => None,
        }
    }

    #[test]
    fn holes_before_a_seal_are_damage_and_behind_the_last_one_torn() {
        // Grants, seals after, the grant that is hit -> what is known, holes, whether torn.
        for (grants, seals, hit, known, holes, torn) in [
            (3, vec![3], 2, Some((3, true)), 1, false),
            (3, vec![3], 3, Some((2, false)), 1, false),
            (3, vec![2], 3, Some((2, true)), 0, true),
            (3, vec![1], 2, Some((1, true)), 0, true), // 3 is whole, but nobody was told of it
            (3, vec![], 1, None, 0, true),
            (4, vec![1, 2, 3, 4], 1, Some((4, true)), 1, false),
        ] {
            let (mut bytes, begins) = journal(grants, &seals);
            bytes[begins[hit - 1] + 6] ^= 1;
            let (state, found) = read(&bytes);
            let what = format!("{grants} grants, seals after {seals:?}, {hit} is hit");
            assert_eq!(ceiling(&state), known, "{what}");
            assert_eq!((found.holes.len(), found.torn > 0), (holes, torn), "{what}");
            assert_eq!(state.damaged_ms, (holes > 0).then_some(99), "{what}");
        }
    }

    #[test]
    fn a_seal_that_is_hit_loses_nothing() {
        let (whole, _) = journal(2, &[2]);
        for at in whole.len() - 8..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            let (state, found) = read(&bytes);
            assert_eq!(ceiling(&state), Some((2, true)), "byte {at}");
            assert_eq!(found, Found { torn: 8, holes: vec![] }, "byte {at}");
        }
    }

    #[test]
    fn a_text_that_looks_like_a_record_is_none() {
        // A label may hold what a caller sent. Damage to the record around it must not bring it to life.
        let mut forged = Vec::new();
        let grant = Record::Entry(Entry::Grant { account: 1, window: 0, ceiling: 0 });
        record::write(&grant, 1, 0, &mut forged);
        let (mut bytes, _) = journal(1, &[]);
        bytes.extend(&forged);
        let end = bytes.len() as u64;
        record::write(&Record::Seal, SALT, end, &mut bytes);
        let (state, found) = read(&bytes);
        assert_eq!((ceiling(&state), found.holes.len()), (Some((1, false)), 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_replayed_without_a_panic(
            cuts in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..20), length in any::<u16>(),
        ) {
            let (mut bytes, _) = journal(20, &[3, 9, 15, 20]);
            for (at, to) in cuts {
                let at = usize::from(at) % bytes.len();
                bytes[at] = to;
            }
            bytes.truncate(usize::from(length) % (bytes.len() + 1));
            let (state, found) = read(&bytes);
            prop_assert!(ceiling(&state).is_none_or(|(ceiling, _)| (1..=20).contains(&ceiling)));
            prop_assert!(found.torn <= bytes.len() as u64);
            prop_assert!(found.holes.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
