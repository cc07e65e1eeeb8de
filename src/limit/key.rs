//! What tells one account of a rule from another.

use super::KeyPart;
use ring::digest::{Context, SHA256, digest};

/// The longest name of a key in lists of accounts, in bytes.
const LABEL_MAX: usize = 64;

/// The values of a key's parts, hashed as they come.
///
/// The digest is stable across restarts and hosts: it names accounts on disk and in configuration. A lone API
/// key is hashed as it is, so that its account and its access records go by the same name; every other key is
/// hashed with what its parts are.
pub struct KeyText {
    context: Context,
}

impl KeyText {
    /// The digest of a credential, as it names accounts.
    pub fn of_api_key(credential: &[u8]) -> u128 {
        first_half(digest(&SHA256, credential).as_ref())
    }

    /// The same of a credential whose SHA-256 is known.
    pub fn of_sha256(digest: &[u8; 32]) -> u128 {
        first_half(digest)
    }

    /// The digest of the values of `parts`, in their order.
    pub fn digest<'a>(parts: impl IntoIterator<Item = (&'a KeyPart, &'a [u8])>) -> u128 {
        let mut parts = parts.into_iter().peekable();
        let mut text = KeyText { context: Context::new(&SHA256) };
        let Some((part, value)) = parts.next() else { return 0 };
        if *part == KeyPart::ApiKey && parts.peek().is_none() {
            return KeyText::of_api_key(value);
        }
        text.push(part, value);
        parts.for_each(|(part, value)| text.push(part, value));
        first_half(text.context.finish().as_ref())
    }

    /// What the key of these values is called in lists of accounts: the values, apart from credentials, which
    /// are named by the start of their hash. Cut where it is long, so two keys may have one name.
    pub fn label<'a>(parts: impl IntoIterator<Item = (&'a KeyPart, &'a [u8])>) -> String {
        let mut label = String::new();
        for (part, value) in parts {
            if !label.is_empty() {
                label.push(' ');
            }
            match part {
                KeyPart::ApiKey => label.push_str(&KeyText::name_of(KeyText::of_api_key(value))),
                _ => label.push_str(&String::from_utf8_lossy(value)),
            }
        }
        let end = (0..=LABEL_MAX.min(label.len())).rev().find(|end| label.is_char_boundary(*end));
        label.truncate(end.unwrap_or(0));
        label
    }

    /// What a credential of this digest is called: `sha256:` and the first 8 hexadecimal digits.
    pub fn name_of(digest: u128) -> String {
        format!("sha256:{:08x}", digest >> 96)
    }

    fn push(&mut self, part: &KeyPart, value: &[u8]) {
        let (tag, name) = match part {
            KeyPart::ApiKey => (b'k', ""),
            KeyPart::Header(name) => (b'h', &**name),
            KeyPart::Source => (b's', ""),
            KeyPart::Model => (b'm', ""),
            KeyPart::Route => (b'r', ""),
            KeyPart::Claim(name) => (b'c', &**name),
            KeyPart::Metadata(name) => (b'd', &**name),
            KeyPart::User => (b'u', ""),
        };
        self.context.update(&[tag]);
        // Lengths go first, so that no two lists of values make the same bytes.
        for text in [name.as_bytes(), value] {
            self.context.update(&(text.len() as u64).to_le_bytes());
            self.context.update(text);
        }
    }
}

fn first_half(hash: &[u8]) -> u128 {
    hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_keys_apart_and_stay_what_they_are() {
        let header = |name: &str| KeyPart::Header(name.into());
        let (team, user) = (header("x-team"), header("x-user"));
        let of = |parts: &[(&KeyPart, &str)]| {
            KeyText::digest(parts.iter().map(|(part, value)| (*part, value.as_bytes())))
        };
        // FIPS 180-2 appendix B.1.
        assert_eq!(of(&[(&KeyPart::ApiKey, "abc")]), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
        assert_eq!(of(&[]), 0);
        let all = [
            of(&[(&team, "a")]),
            of(&[(&user, "a")]),
            of(&[(&team, "b")]),
            of(&[(&team, "a"), (&user, "b")]),
            of(&[(&team, "b"), (&user, "a")]),
            of(&[(&team, "ab"), (&user, "")]),
            of(&[(&KeyPart::Source, "a")]),
            of(&[(&KeyPart::Model, "a")]),
            of(&[(&KeyPart::Route, "a")]),
            of(&[(&KeyPart::Claim("x-team".into()), "a")]),
            of(&[(&KeyPart::Metadata("x-team".into()), "a")]),
            of(&[(&KeyPart::User, "a")]),
            of(&[(&KeyPart::ApiKey, "a")]),
            of(&[(&KeyPart::ApiKey, "a"), (&team, "a")]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
    }
}
