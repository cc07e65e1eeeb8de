//! Where a text ends within what could go on to be a match.

use regex_automata::nfa::thompson::{Compiler, Config, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;

/// An expression as a machine that can be stopped anywhere. It knows no look-around: `\b` and its kin are passed over, so
/// that it holds more to be possible than is, and never less.
#[derive(Debug)]
pub(super) struct Open {
    nfa: NFA,
    /// Which bytes a match can begin with.
    first: [bool; 256],
}

/// What is kept from one look to the next so that it need not be made again.
#[derive(Debug, Default)]
pub(super) struct Room {
    now: Vec<(StateID, usize)>,
    next: Vec<(StateID, usize)>,
    stack: Vec<StateID>,
    /// In which round each state was last reached.
    seen: Vec<u64>,
    round: u64,
}

impl Open {
    /// # Errors
    /// In words of the library.
    pub(super) fn new(pattern: &str) -> Result<Open, String> {
        let config =
            Config::new().nfa_size_limit(Some(super::PATTERN_BYTES_MAX)).which_captures(WhichCaptures::None);
        let nfa =
            Compiler::new().configure(config).build(pattern).map_err(|error| match error.size_limit() {
                Some(limit) => format!("it takes more than {limit} bytes when it is compiled"),
                None => error.to_string(),
            })?;
        let mut open = Open { nfa, first: [false; 256] };
        let mut room = Room::default();
        room.begin(&open.nfa);
        let mut begins = Vec::new();
        reach(&open.nfa, open.nfa.start_anchored(), 0, &mut begins, &mut room);
        for byte in 0..=u8::MAX {
            open.first[usize::from(byte)] =
                begins.iter().any(|(state, _)| step(&open.nfa, *state, byte).is_some());
        }
        Ok(open)
    }

    /// The first place from `from` on where something begins that reaches the end of `text` and may go on to be a match, or
    /// is one that may be longer; the end of the text when there is none. Takes time linear in the text.
    pub(super) fn first_open(&self, text: &[u8], from: usize, room: &mut Room) -> usize {
        room.begin(&self.nfa);
        let mut now = std::mem::take(&mut room.now);
        let mut next = std::mem::take(&mut room.next);
        for (at, byte) in text.iter().enumerate().skip(from) {
            if self.first[usize::from(*byte)] {
                reach(&self.nfa, self.nfa.start_anchored(), at, &mut now, room);
            } else if now.is_empty() {
                continue;
            }
            room.round += 1;
            // Those that began first come first, and keep a state for themselves.
            for (state, begun) in now.drain(..) {
                if let Some(to) = step(&self.nfa, state, *byte) {
                    reach(&self.nfa, to, begun, &mut next, room);
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        let first = now.first().map_or(text.len(), |(_, begun)| *begun);
        now.clear();
        (room.now, room.next) = (now, next);
        first
    }
}

impl Room {
    fn begin(&mut self, nfa: &NFA) {
        if self.seen.len() < nfa.states().len() {
            self.seen.resize(nfa.states().len(), 0);
        }
        self.round += 1;
    }
}

/// Adds all states that wait for a byte, or have matched, and are reached from `state` without a byte.
fn reach(nfa: &NFA, state: StateID, begun: usize, list: &mut Vec<(StateID, usize)>, room: &mut Room) {
    room.stack.push(state);
    while let Some(state) = room.stack.pop() {
        let Some(seen) = room.seen.get_mut(state.as_usize()) else { continue };
        if std::mem::replace(seen, room.round) == room.round {
            continue;
        }
        match nfa.state(state) {
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                list.push((state, begun));
            }
            State::Look { next, .. } | State::Capture { next, .. } => room.stack.push(*next),
            State::Union { alternates } => room.stack.extend(alternates.iter().copied()),
            State::BinaryUnion { alt1, alt2 } => room.stack.extend([*alt1, *alt2]),
            State::Fail => {}
        }
    }
}

fn step(nfa: &NFA, state: StateID, byte: u8) -> Option<StateID> {
    match nfa.state(state) {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(transitions) => transitions.matches_byte(byte),
        State::Dense(transitions) => transitions.matches_byte(byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn what_may_go_on_is_held() {
        for (pattern, text, held) in [
            ("secret", "a sec", "sec"),
            ("secret", "a secret", "secret"),
            ("secret", "a secret.", ""),
            ("[a-z]+@[a-z]+", "to bob", "bob"),
            ("[a-z]+@[a-z]+", "to bob ", ""),
            ("[a-z]+@[a-z]+", "to bob@x", "bob@x"),
            (r"\b\d{3}-\d{2}\b", "1 23-4", "4"),
            (r"\b\d{3}-\d{2}\b", "at 123-45", "123-45"),
            ("é+x", "aéé", "éé"),
            ("a.*b", "xaxx", "axx"),
        ] {
            let open = Open::new(pattern).unwrap();
            let at = open.first_open(text.as_bytes(), 0, &mut Room::default());
            assert_eq!(&text[at..], held, "{pattern} {text}");
        }
    }

    proptest! {
        /// Whatever comes next, no match begins before what is held and ends behind the text.
        #[test]
        fn no_match_that_goes_on_begins_before_what_is_held(
            pattern in "[abc]{1,2}(\\[ab\\]\\*|a\\+|\\(b\\|ca\\)|c\\?|\\.)?[abc]{0,2}", text in "[abc]{0,9}", more in "[abc]{0,6}",
        ) {
            let (open, regex) = (Open::new(&pattern).unwrap(), Regex::new(&pattern).unwrap());
            let held = open.first_open(text.as_bytes(), 0, &mut Room::default());
            let whole = format!("{text}{more}");
            for at in 0..whole.len() {
                if let Some(found) = regex.find_at(&whole, at) {
                    prop_assert!(found.start() >= held || found.end() <= text.len(), "{found:?} {held}");
                }
            }
        }
    }
}
