//! The notations inside scalars: numbers, sizes, durations, amounts, names, hosts. No floats anywhere.

use crate::base::ascii;
use std::time::Duration;

/// A whole number as the core schema of YAML writes it: decimal, `0x`, `0o`, with an optional `+`.
pub(crate) fn integer(text: &str) -> Option<u64> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok();
    match text {
        _ if text.starts_with("0x") => radix(&text[2..], 16),
        _ if text.starts_with("0o") => radix(&text[2..], 8),
        _ => ascii::decimal(text.strip_prefix('+').unwrap_or(text).as_bytes()),
    }
}

/// A number of bytes: `512`, `32Ki`, `2Mi`, `1Gi`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (digits, shift) = unit.unwrap_or((text, 0));
    ascii::decimal(digits.as_bytes())?.checked_mul(1 << shift)
}

/// A duration of Gateway API (GEP-2257): `([0-9]{1,5}(h|m|s|ms)){1,4}`; at most 4 x 99999 h.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    const PARTS_MAX: usize = 4;
    let (mut rest, mut total) = (text, Duration::ZERO);
    for _ in 0..PARTS_MAX {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = ascii::decimal(&rest.as_bytes()[..digits]).filter(|_| digits <= 5)?;
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        let after = &rest[digits..];
        let (left, unit_ms) = units.iter().find_map(|(unit, ms)| Some((after.strip_prefix(unit)?, *ms)))?;
        total += Duration::from_millis(number * unit_ms);
        rest = left;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

/// A duration for people: `100 s`, `1.5 s`, `250 ms`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms % 1000 {
        0 => format!("{} s", ms / 1000),
        _ if ms < 1000 => format!("{ms} ms"),
        part => format!("{}.{} s", ms / 1000, format!("{part:03}").trim_end_matches('0')),
    }
}

/// A decimal number with at most 9 decimals, in units of 10^-9, exactly.
pub(crate) fn nano(text: &str) -> Option<u64> {
    const DECIMALS: usize = 9;
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (text, None),
    };
    let whole = ascii::decimal(whole.as_bytes())?.checked_mul(1_000_000_000)?;
    let part = match part {
        None => 0,
        Some(part) if part.len() <= DECIMALS => {
            let scale = 10u64.pow(u32::try_from(DECIMALS - part.len()).ok()?);
            ascii::decimal(part.as_bytes())? * scale
        }
        Some(_) => return None,
    };
    whole.checked_add(part)
}

/// A name of Kubernetes: a DNS subdomain (RFC 1123), at most 253 characters.
pub(crate) fn is_name(text: &str) -> bool {
    const NAME_MAX: usize = 253;
    !text.is_empty() && text.len() <= NAME_MAX && text.split('.').all(is_label)
}

/// A label of DNS (RFC 1123): at most 63 lower-case letters, digits and hyphens, neither end a hyphen.
pub(crate) fn is_label(label: &str) -> bool {
    const LABEL_MAX: usize = 63;
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty()
        && label.len() <= LABEL_MAX
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A hostname of Gateway API: a name in lower case that is not an IP address; `wildcard` allows one `*.`
/// in front. The error completes the sentence `"hostname" ...`.
pub(crate) fn hostname(text: &str, wildcard: bool) -> Result<String, String> {
    let bare = match text.strip_prefix("*.") {
        Some(rest) if wildcard => rest,
        Some(_) => return Err("must be one host, without the wildcard \"*.\"".into()),
        None => text,
    };
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err("must be a name, not an IP address (Gateway API, Hostname)".into());
    }
    if text.contains(':') {
        return Err("must be a name without a port".into());
    }
    match is_name(bare) {
        true => Ok(text.into()),
        false => Err("must be a DNS name in lower case, such as api.example.com".into()),
    }
}

/// A host to connect to: an IP address (IPv6 without brackets) or a DNS name; lower case in the result.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let is_host =
        lower.parse::<std::net::IpAddr>().is_ok() || is_name(lower.strip_suffix('.').unwrap_or(&lower));
    match is_host {
        true => Ok(lower),
        false => Err("must be a DNS name or an IP address, without scheme, port or path".into()),
    }
}

/// An instant of RFC 3339 in UTC as Kubernetes writes it: `2025-09-01T10:00:00Z`. Such texts sort by time.
pub(crate) fn is_instant(text: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:ddZ";
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, s)| if s == b'd' { b.is_ascii_digit() } else { b == s })
}

/// A SHA-256 of 64 hexadecimal digits, in whatever case.
pub(crate) fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let is_hash = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)).take_while(|_| is_hash) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    is_hash.then_some(hash)
}

/// A path of HTTP as Gateway API wants it: begins with `/`, no `//`, visible ASCII, no `?`, no `#`.
pub(crate) fn path(text: &str) -> Result<String, String> {
    match text {
        _ if !text.starts_with('/') => Err("must begin with \"/\"".into()),
        _ if text.contains("//") => Err("must not contain \"//\" (Gateway API, HTTPPathMatch)".into()),
        _ if text.contains(['?', '#']) => Err("must be a path only, without query or fragment".into()),
        _ if !text.bytes().all(|b| b.is_ascii_graphic()) => {
            Err("must be visible ASCII; write other characters percent-encoded".into())
        }
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_those_of_gateway_api() {
        for (text, ms) in [
            ("100s", Some(100_000)),
            ("1h30m", Some(5_400_000)),
            ("1m500ms", Some(60_500)),
            ("0s", Some(0)),
            ("99999h", Some(359_996_400_000)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("1h1m1s1ms1s", None),
            ("100000s", None),
            ("100", None),
            ("s", None),
            ("", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1us", None),
            ("1d", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text:?}");
        }
        for (ms, shown) in [(100_000, "100 s"), (1_500, "1.5 s"), (250, "250 ms"), (0, "0 s")] {
            assert_eq!(show_duration(Duration::from_millis(ms)), shown);
        }
    }

    #[test]
    fn sizes_and_amounts_are_exact() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("32Ki", Some(32 << 10)),
            ("2Mi", Some(2 << 20)),
            ("1Gi", Some(1 << 30)),
            ("1K", None),
            ("Ki", None),
            ("1.5Ki", None),
            ("-1", None),
            ("99999999999Gi", None),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
        for (text, amount) in [
            ("0.80", Some(800_000_000)),
            ("0.075", Some(75_000_000)),
            ("15", Some(15_000_000_000)),
            ("18.75", Some(18_750_000_000)),
            ("0.000000001", Some(1)),
            ("0.0000000001", None),
            (".5", None),
            ("5.", None),
            ("1e3", None),
            ("-1", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(nano(text), amount, "{text:?}");
        }
    }

    #[test]
    fn names_and_hosts() {
        for (text, plain, wild) in [
            ("api.example.com", true, true),
            ("*.example.com", false, true),
            ("*", false, false),
            ("*.", false, false),
            ("a.*.com", false, false),
            ("API.example.com", false, false),
            ("10.0.0.1", false, false),
            ("::1", false, false),
            ("example.com:80", false, false),
            ("-a.com", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (hostname(text, false).is_ok(), hostname(text, true).is_ok()),
                (plain, wild),
                "{text:?}"
            );
        }
        for (text, is) in
            [("::1", true), ("API.Example.com", true), ("a b", false), ("http://a", false), ("", false)]
        {
            assert_eq!(host(text).is_ok(), is, "{text:?}");
        }
        assert!(is_instant("2025-09-01T10:00:00Z") && !is_instant("2025-09-01T10:00:00+02:00"));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_notation_panic(text in "\\PC{0,20}") {
            let _ = (duration(&text), size(&text), nano(&text), integer(&text));
            let _ = (hostname(&text, true), host(&text), path(&text), is_instant(&text));
        }
    }
}
