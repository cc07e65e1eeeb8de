use super::scan::Scalar;

/// A JSON number (RFC 8259 section 6), byte by byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberScan {
    state: State,
    /// The value so far, while it is a non-negative integer that fits.
    integer: Option<u64>,
}

/// What a byte did to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It belongs to the number.
    Eaten,
    /// It does not, and the number is whole before it.
    Ended,
    /// It does not, and the number lacks something.
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl NumberScan {
    /// Before the first byte.
    pub(super) const NEW: NumberScan = NumberScan { state: State::Start, integer: Some(0) };

    /// Eats or refuses the next byte.
    pub(super) fn push(&mut self, byte: u8) -> Step {
        use State::*;
        let next = match (self.state, byte) {
            (Start, b'-') => Minus,
            (Start | Minus, b'0') => Zero,
            (Start | Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Digits,
            (Zero | Digits, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Digits | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => Sign,
            (E | Sign | Exponent, b'0'..=b'9') => Exponent,
            (Zero, b'0'..=b'9') => return Step::Bad,
            _ if self.is_whole() => return Step::Ended,
            _ => return Step::Bad,
        };
        self.integer = match next {
            Zero | Digits => self.integer.and_then(|value| append(value, byte)),
            _ => None,
        };
        self.state = next;
        Step::Eaten
    }

    /// Whether the number may end here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Zero | State::Digits | State::Fraction | State::Exponent)
    }

    /// Its value, as far as we care about values.
    pub(super) fn scalar(&self) -> Scalar {
        self.integer.map_or(Scalar::Number, Scalar::Integer)
    }
}

/// The integer of at most 18 digits that `bytes` begins with, and how many digits, if the byte after it is there and
/// ends it. Whatever else stands there is for [`NumberScan`].
#[inline]
pub(super) fn plain_integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut integer = 0;
    for (digits, byte) in bytes.iter().take(19).enumerate() {
        match byte {
            b'0'..=b'9' => integer = integer * 10 + u64::from(byte - b'0'),
            b'.' | b'e' | b'E' => return None,
            _ => {
                let leading_zero = digits > 1 && bytes.first() == Some(&b'0');
                return (digits > 0 && !leading_zero).then_some((integer, digits));
            }
        }
    }
    None
}

fn append(value: u64, digit: u8) -> Option<u64> {
    value.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_and_other_numbers_recognised() {
        let rows = [
            ("0", Some(Scalar::Integer(0))),
            ("4096", Some(Scalar::Integer(4096))),
            ("18446744073709551615", Some(Scalar::Integer(u64::MAX))),
            ("18446744073709551616", Some(Scalar::Number)),
            ("-1", Some(Scalar::Number)),
            ("-0", Some(Scalar::Number)),
            ("1.5", Some(Scalar::Number)),
            ("1e3", Some(Scalar::Number)),
            ("0E-2", Some(Scalar::Number)),
            ("1.0e+20", Some(Scalar::Number)),
            ("-", None),
            ("01", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("1e+", None),
            ("+1", None),
        ];
        for (text, expect) in rows {
            let mut number = NumberScan::NEW;
            let eaten = text.bytes().all(|byte| number.push(byte) == Step::Eaten);
            assert_eq!((eaten && number.is_whole()).then(|| number.scalar()), expect, "{text}");
        }
    }
}
