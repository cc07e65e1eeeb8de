//! Tokens of an expression.

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    Name(&'t str),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// What is wrong, and the byte where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

pub(super) fn fault<T>(at: usize, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, message: message.into() })
}

/// All signs, longer ones before those that they begin with.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}", "=",
];

/// All tokens of `text` with the bytes where they begin, the end included.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        at += rest.len() - trimmed.len();
        if let Some(comment) = trimmed.strip_prefix("//") {
            at += 2 + comment.find('\n').unwrap_or(comment.len());
            continue;
        }
        let Some(first) = trimmed.chars().next() else {
            tokens.push((at, Token::End));
            return Ok(tokens);
        };
        let (token, len) = match first {
            'A'..='Z' | 'a'..='z' | '_' => word(trimmed, at)?,
            '0'..='9' => number(trimmed, at)?,
            '"' | '\'' => quoted(trimmed, at, false)?,
            _ => match SIGNS.iter().find(|sign| trimmed.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return fault(at, format!("{first:?} means nothing here")),
            },
        };
        tokens.push((at, token));
        at += len;
    }
}

/// A name, or a text with a letter before it.
fn word(text: &str, at: usize) -> Result<(Token<'_>, usize), Fault> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = text.split(|c| !is_inner(c)).next().unwrap_or_default();
    let behind = text.get(name.len()..).unwrap_or_default();
    if !behind.starts_with(['"', '\'']) {
        return Ok((Token::Name(name), name.len()));
    }
    match name {
        "r" | "R" => quoted(behind, at + 1, true).map(|(token, len)| (token, len + 1)),
        _ => fault(at, "bytes are not supported: write a text"),
    }
}

fn number(text: &str, at: usize) -> Result<(Token<'_>, usize), Fault> {
    let digits = |text: &str, is: fn(&u8) -> bool| text.bytes().take_while(is).count();
    let wrong = || fault(at, "this number is malformed or too large");
    let end = |len: usize| text.get(len..).unwrap_or_default();
    let (len, value) = match text.strip_prefix("0x") {
        Some(hex) => {
            let len = digits(hex, u8::is_ascii_hexdigit);
            (len + 2, u64::from_str_radix(hex.get(..len).unwrap_or_default(), 16).ok())
        }
        None => {
            let len = digits(text, u8::is_ascii_digit);
            let (mut double, mut is_double) = (len, false);
            if let Some(fraction) = end(len).strip_prefix('.') {
                let more = digits(fraction, u8::is_ascii_digit);
                (double, is_double) = (len + 1 + more, more > 0);
            }
            if !is_double {
                double = len;
            }
            if let Some(power) = end(double).strip_prefix(['e', 'E']) {
                let sign = usize::from(power.starts_with(['+', '-']));
                let more = digits(power.get(sign..).unwrap_or_default(), u8::is_ascii_digit);
                (double, is_double) =
                    if more > 0 { (double + 1 + sign + more, true) } else { (double, is_double) };
            }
            if is_double {
                let value = text
                    .get(..double)
                    .and_then(|text| text.parse().ok())
                    .filter(|value: &f64| value.is_finite());
                return value.map_or_else(wrong, |value| Ok((Token::Double(value), double)));
            }
            (len, text.get(..len).and_then(|text| text.parse::<u64>().ok()))
        }
    };
    match value {
        Some(value) if end(len).starts_with(['u', 'U']) => Ok((Token::Uint(value), len + 1)),
        Some(value) => i64::try_from(value).map_or_else(|_| wrong(), |value| Ok((Token::Int(value), len))),
        None => wrong(),
    }
}

/// A text in one or three quotation marks of either kind.
fn quoted(text: &str, at: usize, raw: bool) -> Result<(Token<'_>, usize), Fault> {
    let mark = if text.starts_with('"') { '"' } else { '\'' };
    let triple: String = [mark; 3].iter().collect();
    let (open, is_triple) = if text.starts_with(&triple) { (3, true) } else { (1, false) };
    let closing = if is_triple { triple.as_str() } else { triple.get(..1).unwrap_or_default() };
    let (mut value, mut len) = (String::new(), open);
    loop {
        let rest = text.get(len..).unwrap_or_default();
        if rest.starts_with(closing) {
            return Ok((Token::Text(value), len + open));
        }
        match rest.chars().next() {
            Some('\\') if !raw => len += escape(rest, at + len, &mut value)?,
            Some('\n' | '\r') if !is_triple => return fault(at, "this text has no end in its line"),
            Some(c) => {
                value.push(c);
                len += c.len_utf8();
            }
            None => return fault(at, "this text has no end"),
        }
    }
}

/// Reads an escape that `text` begins with; how long it is.
fn escape(text: &str, at: usize, value: &mut String) -> Result<usize, Fault> {
    let by_number = |from: usize, len: usize, radix: u32| {
        let digits =
            text.get(from..from + len).filter(|digits| digits.bytes().all(|b| b.is_ascii_alphanumeric()));
        digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).and_then(char::from_u32)
    };
    let (found, len) = match text.as_bytes().get(1) {
        Some(b'n') => (Some('\n'), 2),
        Some(b't') => (Some('\t'), 2),
        Some(b'r') => (Some('\r'), 2),
        Some(b'a') => (Some('\u{7}'), 2),
        Some(b'b') => (Some('\u{8}'), 2),
        Some(b'f') => (Some('\u{c}'), 2),
        Some(b'v') => (Some('\u{b}'), 2),
        Some(b @ (b'\\' | b'?' | b'"' | b'\'' | b'`')) => (Some(char::from(*b)), 2),
        Some(b'x' | b'X') => (by_number(2, 2, 16), 4),
        Some(b'u') => (by_number(2, 4, 16), 6),
        Some(b'U') => (by_number(2, 8, 16), 10),
        Some(b'0'..=b'3') => (by_number(1, 3, 8), 4),
        _ => (None, 2),
    };
    match found {
        Some(found) => {
            value.push(found);
            Ok(len)
        }
        None => {
            fault(at, "this escape is not one of the language's; write r'...' for a text without escapes")
        }
    }
}
