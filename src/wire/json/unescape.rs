//! Decodes the inside of a JSON string, the bytes between its quotes.

use super::string::StringScan;
use arrayvec::ArrayString;
use std::borrow::Cow;

/// The decoded text of `inside`, if it is well-formed and at most `N` bytes long.
///
/// Meant for names (of models, of tools) that stand in a body; `N` is the longest that is taken.
pub fn bounded<const N: usize>(inside: &[u8]) -> Option<ArrayString<N>> {
    let text = text(inside)?;
    ArrayString::from(&text).ok()
}

/// The decoded text of `inside`, borrowed when it holds no escape; `None` when it is not well-formed.
pub fn text(inside: &[u8]) -> Option<Cow<'_, str>> {
    if super::string::plain_run(inside) == inside.len() {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(inside.len());
    let mut scan = StringScan::default();
    let mut keep = |part: &[u8]| decoded.extend_from_slice(part);
    let progress = scan.feed(inside, &mut keep).ok()?;
    scan.give_up_pair(&mut keep);
    let whole = progress == super::string::Progress::More && scan.is_whole();
    whole.then(|| String::from_utf8(decoded).ok().map(Cow::Owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_escapes_are_decoded_and_bounded() {
        let rows: [(&str, Option<&str>); 9] = [
            ("gpt-4o", Some("gpt-4o")),
            (r"gpt\u002d4o", Some("gpt-4o")),
            (r#"a\"b\\c\/d\n"#, Some("a\"b\\c/d\n")),
            (r"\ud83d\ude00", Some("😀")),
            (r"\ud83dx", Some("\u{fffd}x")),
            (r"\ud83d", Some("\u{fffd}")),
            (r"cut\", None),
            (r#"quote"inside"#, None),
            ("much longer than it may be", None),
        ];
        for (inside, expect) in rows {
            assert_eq!(bounded::<16>(inside.as_bytes()).as_deref(), expect, "{inside}");
        }
        assert_eq!(text(b"\xff"), None);
    }
}
