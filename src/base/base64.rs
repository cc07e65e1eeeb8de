//! Base64 (RFC 4648).

use zeroize::Zeroizing;

/// The bytes of `text` in the alphabet of section 4, with padding; line ends and spaces are passed over. `None` when it
/// is not base64, or one that nobody writes: with bits left over.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len())); // they may be a credential
    digits.extend(text.iter().copied().filter(|b| !b.is_ascii_whitespace()));
    let padding = digits.iter().rev().take_while(|b| **b == b'=').count();
    if !digits.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let (bytes, rest) = bytes_of(&digits[..digits.len() - padding], sextet)?;
    (rest == 0).then_some(bytes)
}

/// The bytes of `text` in the alphabet of section 5, for URLs and file names, without padding, as JSON Web Signatures
/// have it (RFC 7515 section 2). Bits left over are passed over. `None` when it is not that.
pub fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    url_bytes_of(text).map(|(bytes, _)| bytes)
}

/// As [`decode_url`], and refuses bits left over: so that every text of bytes is another one, where a change of any bit of it
/// must be noticed.
pub fn decode_url_exact(text: &[u8]) -> Option<Vec<u8>> {
    let (bytes, rest) = url_bytes_of(text)?;
    (rest == 0).then_some(bytes)
}

fn url_bytes_of(text: &[u8]) -> Option<(Vec<u8>, u32)> {
    let sextet = |digit| match digit {
        b'-' => Some(62),
        b'_' => Some(63),
        b'+' | b'/' => None,
        _ => sextet(digit),
    };
    bytes_of(text, sextet).filter(|_| text.len() % 4 != 1)
}

/// As [`decode`], into `out`, without an allocation; how many bytes there are. Padding may be left out, as many clients do
/// where they show a password, and bits left over are passed over. `None` also where they have no room.
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut end = 0;
    each_byte(digits, sextet, |byte| {
        *out.get_mut(end)? = byte;
        end += 1;
        Some(())
    })?;
    Some(end)
}

/// The bytes that digits of six bits make, and what the bits left over are.
fn bytes_of(digits: &[u8], sextet: impl Fn(u8) -> Option<u32>) -> Option<(Vec<u8>, u32)> {
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let rest = each_byte(digits, sextet, |byte| {
        bytes.push(byte);
        Some(())
    })?;
    Some((bytes, rest))
}

/// Gives the bytes that digits of six bits make to `take`; what the bits left over are.
fn each_byte(
    digits: &[u8],
    sextet: impl Fn(u8) -> Option<u32>,
    mut take: impl FnMut(u8) -> Option<()>,
) -> Option<u32> {
    let (mut bits, mut held) = (0u32, 0);
    for digit in digits {
        bits = bits << 6 | sextet(*digit)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            take((bits >> held) as u8)?;
            bits &= (1 << held) - 1;
        }
    }
    Some(bits)
}

/// Appends `bytes` in the alphabet that [`decode_url`] reads, without padding.
pub fn push_url(out: &mut Vec<u8>, bytes: &[u8]) {
    push_digits(out, bytes, URL_DIGITS);
}

/// Appends `bytes` in the alphabet that [`decode`] reads, with padding.
pub fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    push_digits(out, bytes, DIGITS);
    let missing = (3 - bytes.len() % 3) % 3;
    out.extend(std::iter::repeat_n(b'=', missing));
}

fn push_digits(out: &mut Vec<u8>, bytes: &[u8], alphabet: &[u8; 64]) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or_default()));
        let digits = (0..=group.len()).map(|i| alphabet[(bits >> (18 - 6 * i) & 63) as usize]);
        out.extend(digits);
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_url(&mut out, bytes);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_text_is_decoded_into_what_there_is() {
        for (text, room, bytes) in [
            ("YW5uOnB3", 6, Some("ann:pw")),
            ("YW5uOnB3", 5, None),
            ("YW5uOnB3ZA==", 7, Some("ann:pwd")),
            ("YW5uOnB3ZA", 9, Some("ann:pwd")),
            ("YW5uOnB3Z", 9, None),
            ("YW5uOnB3=", 9, Some("ann:pw")),
            ("YW5uOn-3", 9, None),
            ("YW 5u", 9, None),
            ("", 0, Some("")),
        ] {
            let mut out = vec![0; room];
            let decoded = decode_into(text.as_bytes(), &mut out).map(|end| out[..end].to_vec());
            assert_eq!(decoded.as_deref(), bytes.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn texts_are_decoded() {
        for (text, bytes) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v\nYmFy", Some("foobar")),
            ("Zg=", None),
            ("Zh==", None),
            ("Z===", None),
            ("Zm9$", None),
            ("=Zg=", None),
        ] {
            assert_eq!(decode(text.as_bytes()), bytes.map(|b| b.as_bytes().to_vec()), "{text:?}");
        }
    }

    #[test]
    fn texts_of_urls_are_decoded() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("-_8", Some(b"\xfb\xff")),
            ("Zg", Some(b"f")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYg", Some(b"foob")),
            ("Zh", Some(b"f")), // bits left over
            ("Z", None),
            ("Zm9vY", None),
            ("Zg==", None),
            ("Zm 9v", None),
            ("+/8", None),
        ] {
            assert_eq!(decode_url(text.as_bytes()).as_deref(), bytes, "{text:?}");
            let exact = bytes.filter(|bytes| url(bytes) == text);
            assert_eq!(decode_url_exact(text.as_bytes()).as_deref(), exact, "{text:?}");
        }
    }

    /// The examples of RFC 4648 section 10, without their padding, and the two digits of section 5.
    #[test]
    fn bytes_are_written_for_urls() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"fooba", "Zm9vYmE"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff", "-_8"),
        ] {
            assert_eq!(url(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decode_url(url(&bytes).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(decode_url_exact(url(&bytes).as_bytes()), Some(bytes.clone()));
            let mut padded = url(&bytes).replace('-', "+").replace('_', "/");
            while !padded.len().is_multiple_of(4) {
                padded.push('=');
            }
            let mut written = Vec::new();
            push(&mut written, &bytes);
            prop_assert_eq!(written, padded.as_bytes());
            prop_assert_eq!(decode(padded.as_bytes()), Some(bytes));
        }

        #[test]
        fn no_text_does_harm(text: Vec<u8>) {
            let _ = (decode(&text), decode_url(&text), decode_url_exact(&text));
        }
    }
}
