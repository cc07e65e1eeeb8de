//! Code, comments and literals told apart.

/// What a byte of a Rust file belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Code,
    Comment,
    Literal,
}

/// What kind each byte is. Enough of Rust's lexical rules for files that compile: nested comments, raw
/// strings, and `'a'` told from `'a`.
pub(crate) fn classify(text: &[u8]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; text.len()];
    let mut at = 0;
    while at < text.len() {
        let (len, kind) = token(&text[at..]);
        let end = (at + len).min(text.len());
        kinds[at..end].fill(kind);
        at = end;
    }
    kinds
}

/// The text where it is of `kind`, and spaces elsewhere; lines stay.
pub(crate) fn only(text: &str, kinds: &[Kind], kind: Kind) -> String {
    let bytes = text.bytes().zip(kinds);
    let kept = bytes.map(|(byte, is)| if *is == kind || byte == b'\n' { byte } else { b' ' }).collect();
    String::from_utf8(kept).expect("kinds end where characters end")
}

/// Whether a name may hold it; names here are ASCII.
pub(crate) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length and kind of what stands first in `rest`.
fn token(rest: &[u8]) -> (usize, Kind) {
    let name = rest.iter().take_while(|byte| is_name(**byte)).count();
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            (rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()), Kind::Comment)
        }
        b'/' if rest.starts_with(b"/*") => (block_comment(rest), Kind::Comment),
        b'"' => (quoted(rest, b'"'), Kind::Literal),
        b'\'' => character(rest).map_or((1, Kind::Code), |len| (len, Kind::Literal)),
        _ if matches!(&rest[..name], b"r" | b"br" | b"cr") => {
            raw_string(rest, name).map_or((name, Kind::Code), |len| (len, Kind::Literal))
        }
        _ => (name.max(1), Kind::Code),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..(at + 2).min(rest.len())] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// Length of a literal between two `quote`s, in which a backslash escapes.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of a character literal; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let escaped = rest.get(1) == Some(&b'\\');
    let wide = 2 + rest.iter().skip(2).take_while(|byte| **byte & 0xC0 == 0x80).count();
    (escaped || rest.get(wide) == Some(&b'\'')).then(|| quoted(rest, b'\''))
}

/// Length of a raw string whose prefix has `prefix` letters; `None` for a name.
fn raw_string(rest: &[u8], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix + hashes + 1;
    if rest.get(open - 1) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let end = rest[open..].windows(close.len()).position(|window| window == close);
    Some(end.map_or(rest.len(), |end| open + end + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_told_from_code() {
        let rows = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("a // b", 'x') // c"#, "f(        ,    )     "),
            (r##"r#"a " b"# c r#type"##, "           c r#type"),
            (r"'\'' 'a 'é' b'\\' &'static", "     'a      b     &'static"),
            (r#""\"" x b"\\" y"#, "     x b     y"),
        ];
        for (text, code) in rows {
            assert_eq!(only(text, &classify(text.as_bytes()), Kind::Code), code, "{text}");
        }
    }
}
