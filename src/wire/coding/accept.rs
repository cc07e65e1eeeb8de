use super::{Coding, Codings};
use crate::base::ascii;
use crate::wire::http1::{Headers, Known};

/// The codings that a client takes, of those that can be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    /// Bit `n`: the coding at place `n` of [`Coding::ALL`].
    taken: u8,
}

impl Accepts {
    /// What `Accept-Encoding` allows in a head that was parsed from `buf` (RFC 9110 section 12.5.3).
    ///
    /// A client that sends none gets none: by the letter it takes all of them, in practice it decodes nothing, and what is not coded
    /// is right for both.
    pub fn of(headers: &Headers, buf: &[u8]) -> Accepts {
        let (mut taken, mut named, mut all) = (0, 0, false);
        for member in headers.all(Known::AcceptEncoding).flat_map(|value| ascii::list(value.of(buf))) {
            let mut parts = member.split(|byte| *byte == b';').map(ascii::trim);
            let name = parts.next().unwrap_or_default();
            let is_taken = !parts.any(is_zero_weight);
            match Coding::of(name) {
                Some(coding) => {
                    named |= bit(coding);
                    taken |= if is_taken { bit(coding) } else { 0 };
                }
                None => all |= name == b"*" && is_taken,
            }
        }
        let others = if all { !named } else { 0 };
        Accepts { taken: taken | others }
    }

    /// Whether a body with all of `codings` is taken.
    pub fn takes(self, codings: &Codings) -> bool {
        codings.iter().all(|coding| self.taken & bit(coding) != 0)
    }
}

fn bit(coding: Coding) -> u8 {
    1 << coding as u8
}

/// Whether a parameter is the weight that means "not acceptable" (RFC 9110 section 12.4.2): `q=0`, up to `q=0.000`.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some((b'q' | b'Q', rest)) = parameter.split_first() else { return false };
    let Some((b'=', weight)) = ascii::trim(rest).split_first() else { return false };
    let weight = ascii::trim(weight);
    weight.first() == Some(&b'0') && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}
