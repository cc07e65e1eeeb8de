//! Ids for calls that Gemini gave none.

use std::fmt::Write as _;

const PREFIX: &str = "gemini_";

/// As much of an answer's id as goes into those of its calls; Google's own have 22 characters.
const RESPONSE_MAX: usize = 40;

/// The id of the call in part `number` of the answer `response`: `gemini_<response>_<number>`, of letters, digits, `_`
/// and `-` alone, which all formats take, and of 64 characters at most.
///
/// An answer without an id of its own is known by `words`, what its call says.
pub(super) fn make(response: &str, number: usize, words: &str) -> String {
    let mut id = String::from(PREFIX);
    if response.is_empty() {
        let _ = write!(id, "{:016x}", digest(words)); // a String takes everything
    } else {
        let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        id.extend(response.chars().take(RESPONSE_MAX).map(fits));
    }
    let _ = write!(id, "_{number}");
    id
}

/// Whether [`make`] made it.
pub(super) fn is_made(id: &str) -> bool {
    let number = id.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// FNV-1a: calls that say the same have one id, which is enough to answer the ones of a turn in their order.
fn digest(words: &str) -> u64 {
    words
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_known_again() {
        for (response, number, made) in [
            ("Ub-FarbpCtHmnsEP--XY8Qg", 0, "gemini_Ub-FarbpCtHmnsEP--XY8Qg_0"),
            ("a.b/c", 12, "gemini_a_b_c_12"),
            ("", 3, "gemini_af63dc4c8601ec8c_3"),
        ] {
            let id = make(response, number, "a");
            assert_eq!(id, made);
            assert!(is_made(&id));
        }
        let long = make(&"é".repeat(300), usize::MAX, "");
        assert!(long.len() <= 68 && is_made(&long) && long.is_ascii());
        for given in ["", "call_0", "gemini_", "gemini__", "gemini_x", "gemini_x_1a", "96c1su3s"] {
            assert!(!is_made(given), "{given}");
        }
    }
}
