//! Inputs made of others: bits, words, numbers, lines, paragraphs, values in brackets and quotes, and parts of two inputs; where
//! there is JSON in them, mostly so that it stays JSON.

use super::tree;
use serde_json::Value;

/// Inputs that are longer are cut.
const BYTES_MAX: usize = 4 << 10;
/// The most changes to one input.
const CHANGES_MAX: usize = 4;
/// Numbers at the bounds of types.
const NUMBERS: [&str; 8] = ["0", "1", "-1", "255", "65536", "4294967295", "9223372036854775808", "1e400"];

/// Makes inputs.
pub(crate) struct Mutator<'s> {
    seeds: &'s [Vec<u8>],
    words: Vec<Vec<u8>>,
    /// Those of the words that are strings of JSON, and the others as far as they are text.
    texts: Vec<String>,
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A range of `length` bytes, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let most = if self.below(4) == 0 { length } else { 16 };
        let start = self.below(length + 1);
        start..length.min(start + self.below(most + 1))
    }
}

impl Mutator<'_> {
    pub(crate) fn new(seeds: &[Vec<u8>], words: Vec<Vec<u8>>) -> Mutator<'_> {
        let texts = words.iter().filter_map(|word| std::str::from_utf8(word).ok());
        let texts =
            texts.map(|word| serde_json::from_str(word).unwrap_or_else(|_| word.to_owned())).collect();
        Mutator { seeds, words, texts }
    }

    /// The input of this number under this seed.
    pub(crate) fn input(&self, seed: u64, at: u64) -> Vec<u8> {
        let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ at);
        let mut input = self.some(&mut dice).to_vec();
        let keeps_json = dice.below(3) > 0;
        for _ in 0..=dice.below(CHANGES_MAX) {
            match keeps_json {
                true if dice.below(4) == 0 => self.paragraph(&mut input, &mut dice),
                true if self.tree(&mut input, &mut dice) => {}
                _ => self.change(&mut input, &mut dice),
            }
            input.truncate(BYTES_MAX);
        }
        input
    }

    fn some(&self, dice: &mut Dice) -> &[u8] {
        self.seeds.get(dice.below(self.seeds.len())).map_or(&[], Vec::as_slice)
    }

    fn word(&self, dice: &mut Dice) -> &[u8] {
        self.words.get(dice.below(self.words.len())).map_or(&[], Vec::as_slice)
    }

    fn change(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        let length = input.len();
        let at = dice.below(length + 1);
        match dice.below(14) {
            0 if at < length => input[at] ^= 1 << dice.below(8),
            1 if at < length => input[at] = dice.below(256) as u8,
            2 => input.truncate(at),
            3 => drop(input.drain(dice.range(length))),
            4 => {
                let part = input[dice.range(length)].to_vec();
                drop(input.splice(at..at, part));
            }
            5 => {
                // The beginning of one and the end of another.
                let other = self.some(dice);
                let from = dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 | 7 => drop(input.splice(at..at, self.word(dice).iter().copied())),
            8 => drop(input.splice(dice.range(length), self.word(dice).iter().copied())),
            9 => number(input, at, dice),
            10 => line(input, at, dice),
            11 | 12 => self.value(input, at, dice),
            _ => input.insert(0, dice.below(256) as u8),
        }
    }

    /// Changes a document of JSON in the input so that it stays one; whether there is any.
    fn tree(&self, input: &mut Vec<u8>, dice: &mut Dice) -> bool {
        let documents: Vec<usize> = (0..input.len()).filter(|at| begins_document(input, *at)).collect();
        let Some(at) = documents.get(dice.below(documents.len())) else { return false };
        let Some(range) = value_at(input, *at) else { return false };
        let Ok(mut value) = serde_json::from_slice::<Value>(&input[range.clone()]) else { return false };
        let other = self.some(dice);
        let place = other.iter().position(|byte| *byte == b'{').and_then(|at| value_at(other, at));
        let other = place.and_then(|place| serde_json::from_slice(&other[place]).ok()).unwrap_or_default();
        tree::change(&mut value, &other, &self.texts, dice);
        drop(input.splice(range, value.to_string().into_bytes()));
        true
    }

    /// An event of a stream, or a document of YAML, goes, comes twice, is moved to the end, or comes from another input.
    fn paragraph(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        let paragraphs = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let (mut parts, mut start) = (Vec::new(), 0);
            for at in 1..bytes.len() {
                if bytes[at - 1..=at] == *b"\n\n" {
                    parts.push(bytes[start..=at].to_vec());
                    start = at + 1;
                }
            }
            parts.extend((start < bytes.len()).then(|| bytes[start..].to_vec()));
            parts
        };
        let mut parts = paragraphs(input);
        if parts.is_empty() {
            return;
        }
        let (from, to) = (dice.below(parts.len()), dice.below(parts.len()));
        match dice.below(4) {
            0 => drop(parts.remove(from)),
            1 => parts.insert(to, parts[from].clone()),
            2 => parts.swap(from, to),
            _ => {
                let others = paragraphs(self.some(dice));
                parts.extend(
                    others.get(dice.below(others.len())).map(|part| {
                        part.iter().copied().skip_while(|byte| !byte.is_ascii_graphic()).collect()
                    }),
                );
            }
        }
        *input = parts.concat();
    }

    /// A value in brackets or quotes goes, comes twice, becomes a word, or takes another one's place.
    fn value(&self, input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
        let Some(value) = value_at(input, at) else { return };
        match dice.below(5) {
            0 => drop(input.splice(value, *b"null")),
            1 => {
                let twice = [&input[value.clone()], b",", &input[value.clone()]].concat();
                drop(input.splice(value, twice));
            }
            2 => drop(input.splice(value, self.word(dice).iter().copied())),
            3 => drop(input.drain(value)),
            _ => {
                let place = dice.below(input.len());
                let Some(other) = value_at(input, place) else { return };
                let copy = input[other].to_vec();
                drop(input.splice(value, copy));
            }
        }
    }
}

/// Whether an object or a list begins there that is in none: behind `data: `, or first among the bytes that are printed.
fn begins_document(input: &[u8], at: usize) -> bool {
    let before = &input[..at];
    let is_first = || !before.iter().any(|byte| b"{[\"\n".contains(byte));
    b"{[".contains(&input[at]) && (before.ends_with(b"data: ") || before.len() < 4 && is_first())
}

/// The value in brackets or quotes that begins first from `at` on.
fn value_at(input: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let start = at + input.get(at..)?.iter().position(|byte| b"{[\"".contains(byte))?;
    let mut depth = 0usize;
    let mut quoted = false;
    let mut bytes = input.iter().enumerate().skip(start);
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'\\' if quoted => drop(bytes.next()),
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && !quoted {
            return Some(start..place + 1);
        }
    }
    None
}

/// The first number from `at` on becomes another one.
fn number(input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let Some(start) = input.iter().skip(at).position(u8::is_ascii_digit).map(|found| at + found) else {
        return;
    };
    let digits = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(input.splice(start..start + digits, NUMBERS[dice.below(NUMBERS.len())].bytes()));
}

/// The line at `at` goes, comes twice, or is moved to the end.
fn line(input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let start = input[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |found| found + 1);
    let end = input[at..].iter().position(|byte| *byte == b'\n').map_or(input.len(), |found| at + found + 1);
    let line = input[start..end].to_vec();
    match dice.below(3) {
        0 => drop(input.drain(start..end)),
        1 => drop(input.splice(start..start, line)),
        _ => {
            input.drain(start..end);
            input.extend(line);
        }
    }
}

/// The words of a dictionary as libFuzzer has it: one in quotes per line, with `\\`, `\"` and `\xAB`.
pub(crate) fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let lines = dictionary.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("no word: {line}"))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let inside = line.strip_prefix('"')?.strip_suffix('"')?;
    let (mut word, mut bytes) = (Vec::new(), inside.bytes());
    while let Some(byte) = bytes.next() {
        word.push(match byte {
            b'\\' => match bytes.next()? {
                b'x' => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    (digit()? << 4 | digit()?) as u8
                }
                escaped => escaped,
            },
            byte => byte,
        });
    }
    Some(word)
}
