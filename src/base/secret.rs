use std::fmt;
use std::hint::black_box;
use zeroize::Zeroizing;

/// Bytes that must not be shown: a credential.
///
/// `Debug` prints `***` and there is no `Display`. The bytes are overwritten when the value is dropped.
///
/// So is what configuration holds on the way to here: texts of files and of Secrets, their trees, what variables of the
/// environment are filled into, private keys as they were decoded. What is not ours cannot be: buffers of the YAML parser and
/// of the PEM decoder; the environment of the process; keys within `rustls` and `ring`, which sign with them; requests that
/// went out with a credential, in buffers that are used again, and within the kernel; pages that were swapped out.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` over, as they lie: a copy would stay behind.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves, for the one place that writes them on a request.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether `given` is the same. How long it takes tells no more than the lengths of the two.
    pub fn is(&self, given: &[u8]) -> bool {
        is_same(self.expose(), given)
    }
}

/// Whether two credentials, or digests of some, are the same. How long it takes tells no more than their lengths.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
    one.len() == other.len() && differ == 0
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.is(other.expose())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(*b"sk-1");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.expose(), b"sk-1");
    }

    #[test]
    fn secrets_are_compared_whole() {
        let secret = Secret::new(*b"sk-1");
        for (given, expected) in
            [("sk-1", true), ("sk-2", false), ("xk-1", false), ("sk-", false), ("sk-11", false), ("", false)]
        {
            assert_eq!(secret.is(given.as_bytes()), expected, "{given}");
        }
        assert!(secret == Secret::new(*b"sk-1") && secret != Secret::new(*b"sk-2"));
    }
}
