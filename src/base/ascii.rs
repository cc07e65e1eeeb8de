//! What a byte is, as RFC 9110 section 5.6 says, in tables.

use std::io::Write;
use std::net::IpAddr;

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2): header names, methods, codings.
pub const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `byte` may stand in a header value (RFC 9110 section 5.5): visible ASCII, obs-text, space, tab.
pub const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// `bytes` without spaces and tabs at either end (RFC 9110 section 5.6.3, OWS).
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|b| !is_space(b)) else { return &[] };
    let end = bytes.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// A number of decimal digits only, no sign; `None` when empty, too large, or anything else is in it.
pub fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |sum, b| match b {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// Appends `n` in decimal digits.
pub fn push_decimal(out: &mut Vec<u8>, n: u64) {
    if n < 10 {
        return out.push(b'0' + n as u8);
    }
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Appends `address` as text: `10.0.0.7`, or as RFC 5952 has it.
pub fn push_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (place, part) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                push_decimal(out, part.into());
            }
        }
        IpAddr::V6(v6) => {
            let _ = write!(out, "{v6}"); // a Vec takes every write
        }
    }
}

/// Members of a comma-separated list (RFC 9110 section 5.6.1), trimmed, empty ones left out.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|member| !member.is_empty())
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(b, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_those_of_the_rfc() {
        let allowed = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for byte in 0..=255u8 {
            assert_eq!(is_token(byte), allowed.contains(&byte), "byte {byte:#x}");
        }
    }

    #[test]
    fn numbers_and_addresses_are_written_as_the_library_writes_them() {
        for n in [0, 7, 9, 10, 99, 100, 12_345, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, n);
            assert_eq!(out, n.to_string().as_bytes());
        }
        for address in ["0.0.0.0", "10.1.200.255", "::", "2001:db8::7", "::ffff:10.0.0.1"] {
            let mut out = Vec::new();
            push_ip(&mut out, address.parse().expect("an address"));
            assert_eq!(String::from_utf8_lossy(&out), address);
        }
    }

    #[test]
    fn trim_decimal_and_list() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+1", b"1 ", b"0x1", b"18446744073709551616", b"-0"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
        assert_eq!(list(b"gzip, , chunked ,").collect::<Vec<_>>(), [&b"gzip"[..], b"chunked"]);
        for (value, is) in [(b'\r', false), (0, false), (b'\t', true), (0x80, true), (0x7f, false)] {
            assert_eq!(is_value(value), is);
        }
    }
}
