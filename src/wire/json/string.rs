use super::FaultKind;
use crate::base::lanes::{self, LANES, is_unquotable};

/// The inside of a JSON string (RFC 8259 section 7): decodes escapes, resumes at any byte.
///
/// UTF-8 is not checked here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StringScan {
    escape: Escape,
    /// Hexadecimal digits of a `\u` escape so far.
    hex: u16,
    /// The first half of a surrogate pair that waits for the second; 0 when none does.
    high: u16,
}

/// How far a string was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To the end of the bytes; the string goes on.
    More,
    /// Past the closing quote, which is the last of so many bytes.
    End(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Backslash,
    /// `\u` and so many digits.
    Hex(u8),
}

impl StringScan {
    /// Eats bytes up to and with the closing quote and hands the decoded text to `part`, plain runs as they stand.
    ///
    /// Half a surrogate pair, which the grammar allows (section 8.2), is decoded as U+FFFD.
    ///
    /// # Errors
    /// Offset in `bytes` of the byte that cannot stand in a string, and why.
    #[inline]
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut part: impl FnMut(&[u8]),
    ) -> Result<Progress, (usize, FaultKind)> {
        let mut at = 0;
        loop {
            if self.escape != Escape::None {
                let Some(byte) = bytes.get(at) else { return Ok(Progress::More) };
                self.escaped(*byte, &mut part).map_err(|kind| (at, kind))?;
                at += 1;
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let plain = rest.get(..plain_run(rest)).unwrap_or_default();
            if !plain.is_empty() {
                self.give_up_pair(&mut part);
                part(plain);
                at += plain.len();
            }
            match bytes.get(at) {
                None => return Ok(Progress::More),
                Some(b'"') => {
                    self.give_up_pair(&mut part);
                    return Ok(Progress::End(at + 1));
                }
                Some(b'\\') => match bytes.get(at + 1).and_then(|byte| simple_escape(*byte)) {
                    Some(byte) => {
                        self.give_up_pair(&mut part);
                        part(&[byte]);
                        at += 1;
                    }
                    None => self.escape = Escape::Backslash,
                },
                Some(_) => return Err((at, FaultKind::ControlInString)),
            }
            at += 1;
        }
    }

    /// Whether the string may end here: no escape is open.
    pub(super) fn is_whole(&self) -> bool {
        self.escape == Escape::None
    }

    /// Hands on U+FFFD for a first half of a pair whose second half did not come.
    pub(super) fn give_up_pair(&mut self, part: &mut impl FnMut(&[u8])) {
        if self.high != 0 {
            self.high = 0;
            give(part, char::REPLACEMENT_CHARACTER);
        }
    }

    fn escaped(&mut self, byte: u8, part: &mut impl FnMut(&[u8])) -> Result<(), FaultKind> {
        let digits = match self.escape {
            Escape::Hex(digits) => digits,
            _ if byte == b'u' => {
                (self.escape, self.hex) = (Escape::Hex(0), 0);
                return Ok(());
            }
            _ => {
                self.escape = Escape::None;
                self.give_up_pair(part);
                part(&[simple_escape(byte).ok_or(FaultKind::BadEscape)?]);
                return Ok(());
            }
        };
        let digit = char::from(byte).to_digit(16).ok_or(FaultKind::BadEscape)?;
        self.hex = self.hex << 4 | digit as u16;
        self.escape = if digits == 3 { Escape::None } else { Escape::Hex(digits + 1) };
        if digits == 3 {
            self.code_unit(self.hex, part);
        }
        Ok(())
    }

    /// A whole `\u` escape: a character, or half of one (RFC 8259 section 7, UTF-16 surrogate pairs).
    fn code_unit(&mut self, unit: u16, part: &mut impl FnMut(&[u8])) {
        if self.high != 0 && (0xdc00..0xe000).contains(&unit) {
            let code = 0x10000 + (u32::from(self.high - 0xd800) << 10 | u32::from(unit - 0xdc00));
            self.high = 0;
            return give(part, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.give_up_pair(part);
        if (0xd800..0xdc00).contains(&unit) {
            self.high = unit;
        } else {
            give(part, char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }
}

/// How many bytes stand before the first quote, backslash or control character.
///
/// Keys and many values are short: the first blocks are looked at in place. What is longer goes on in blocks of four.
/// `memchr2` would find quote and backslash as fast, but not the control characters.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let hits = lanes::unquotable(block);
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += LANES;
        if at == SHORT {
            return at + long_plain_run(bytes.get(at..).unwrap_or_default());
        }
    }
    at + short_plain_run(bytes.get(at..).unwrap_or_default())
}

/// Bytes that [`plain_run`] looks at in place: what most keys and names have.
const SHORT: usize = 3 * LANES;

#[inline(never)]
fn long_plain_run(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<{ 4 * LANES }>();
    let is_plain =
        |block: &&[u8; 4 * LANES]| !block.iter().fold(false, |hit, byte| hit | is_unquotable(*byte));
    let plain = blocks.iter().take_while(is_plain).count();
    let rest = blocks.get(plain).map_or(rest, |block| block.as_slice());
    let (blocks, tail) = rest.as_chunks();
    let before = plain * 4 * LANES;
    for (index, block) in blocks.iter().enumerate() {
        let hits = lanes::unquotable(block);
        if hits != 0 {
            return before + index * LANES + hits.trailing_zeros() as usize;
        }
    }
    before + blocks.len() * LANES + short_plain_run(tail)
}

/// The same of fewer bytes than a block has.
fn short_plain_run(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| !is_unquotable(**byte)).count()
}

const fn simple_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        _ => return None,
    })
}

fn give(part: &mut impl FnMut(&[u8]), character: char) {
    part(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_run_agrees_with_a_byte_loop() {
        for length in 0..200 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for at in (0..=length).filter(|at| at % 7 < 3 || *at + 2 > length) {
                    let mut bytes = vec![0x20; length];
                    bytes
                        .iter_mut()
                        .enumerate()
                        .for_each(|(i, b)| *b = [b' ', b'!', 0x7f, 0x80, 0xff][i % 5]);
                    if at < length {
                        bytes[at] = special;
                        bytes[length - 1] = b'"';
                    }
                    let naive = bytes.iter().take_while(|b| !is_unquotable(**b)).count();
                    assert_eq!(plain_run(&bytes), naive, "{special} at {at} of {length}");
                }
            }
        }
    }
}
