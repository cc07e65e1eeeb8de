//! Patterns of ours. They are precise rather than broad: digits that are no valid number of their kind pass.

use super::{Check, Pattern};

/// A kind of text that persons are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// A Social Security number of the USA, `078-05-1120` or with spaces. Areas 000, 666 and from 900 on, group 00 and serial
    /// 0000 are never given (Social Security Administration, "Social Security Number Randomization").
    Ssn,
    /// The number of a payment card: 13 to 19 digits, alone or in groups parted by spaces or hyphens, that begin with 2 to 6 and
    /// have the right check digit (ISO/IEC 7812-1, Luhn).
    CreditCard,
    /// A telephone number: with `+` and a country code, 8 to 15 digits (ITU-T E.164), or of North America in groups of 3, 3
    /// and 4, whose area and exchange begin with 2 to 9 and whose area is no `N11`.
    PhoneNumber,
    /// An address for mail: ASCII, with a domain of at least two labels.
    Email,
    /// A Social Insurance Number of Canada: three groups of three digits parted by spaces or hyphens, the first digit neither 0
    /// nor 8, the check digit right (Luhn).
    CaSin,
}

impl Builtin {
    /// What takes the place of its matches, between `<` and `>`.
    pub const fn name(self) -> &'static str {
        match self {
            Builtin::Ssn => "SSN",
            Builtin::CreditCard => "CREDIT_CARD",
            Builtin::PhoneNumber => "PHONE_NUMBER",
            Builtin::Email => "EMAIL",
            Builtin::CaSin => "CA_SIN",
        }
    }

    /// The pattern.
    ///
    /// # Errors
    /// Never: they are compiled in a test.
    pub fn pattern(self) -> Result<Pattern, String> {
        let (pattern, check): (&str, Check) = match self {
            Builtin::Ssn => (r"(?-u:\b)[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}(?-u:\b)", ssn),
            Builtin::CreditCard => (r"(?-u:\b)[2-6](?:[ -]?[0-9]){12,18}(?-u:\b)", credit_card),
            Builtin::PhoneNumber => (
                r"\+[1-9](?:[ .()-]{0,2}[0-9]){7,14}(?-u:\b)|(?:(?-u:\b)1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|(?-u:\b)[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}(?-u:\b)",
                phone_number,
            ),
            // All of it is in the expression: a check that failed behind a long name would be made at each of its characters.
            Builtin::Email => return Pattern::compile(EMAIL, self.name(), None),
            Builtin::CaSin => (r"(?-u:\b)[1-79][0-9]{2}[ -][0-9]{3}[ -][0-9]{3}(?-u:\b)", ca_sin),
        };
        Pattern::compile(pattern, self.name(), Some(check))
    }
}

/// RFC 5322 section 3.2.3 without what hardly anybody has, and RFC 1035 section 2.3.1.
const EMAIL: &str =
    r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?-u:\b)";

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> + '_ {
    text.chars().filter_map(|c| c.to_digit(10))
}

/// The number that the first `count` digits behind the first `skip` make.
fn number(text: &str, skip: usize, count: usize) -> u32 {
    digits(text).skip(skip).take(count).fold(0, |sum, digit| sum * 10 + digit)
}

/// Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).
fn luhn(text: &str) -> bool {
    let doubled = |(place, digit): (usize, u32)| match place % 2 {
        0 => digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    };
    digits(text).rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

/// Whether all groups are parted by the same character.
fn evenly_parted(text: &str) -> bool {
    let mut parts = text.chars().filter(|c| !c.is_ascii_digit());
    let first = parts.next();
    parts.all(|part| Some(part) == first)
}

fn ssn(text: &str) -> Option<usize> {
    let (area, group, serial) = (number(text, 0, 3), number(text, 3, 2), number(text, 5, 4));
    let is_given = !matches!(area, 0 | 666 | 900..) && group > 0 && serial > 0;
    (is_given && evenly_parted(text)).then_some(text.len())
}

/// The longest beginning that is a card's number and ends where its digits do: other digits may follow.
fn credit_card(text: &str) -> Option<usize> {
    let ends = (1..=text.len()).rev().filter(|end| {
        let last = text.as_bytes().get(end - 1).is_some_and(u8::is_ascii_digit);
        last && !text.as_bytes().get(*end).is_some_and(u8::is_ascii_digit)
    });
    let is_card = |number: &&str| {
        let count = digits(number).count();
        let first = digits(number).next();
        (13..=19).contains(&count) && digits(number).any(|digit| Some(digit) != first) && luhn(number)
    };
    ends.filter_map(|end| text.get(..end)).find(is_card).map(str::len)
}

fn phone_number(text: &str) -> Option<usize> {
    if text.starts_with('+') {
        return (8..=15).contains(&digits(text).count()).then_some(text.len());
    }
    let area = digits(text).count().checked_sub(10)?;
    (number(text, area, 3) % 100 != 11).then_some(text.len())
}

fn ca_sin(text: &str) -> Option<usize> {
    (evenly_parted(text) && luhn(text)).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Guard};
    use super::*;

    #[test]
    fn what_looks_like_a_match_for_long_is_read_in_linear_time() {
        let long = "a".repeat(1 << 20);
        let texts =
            [format!("{long}@-b.de"), format!("{long}@b.de"), "4112 ".repeat(1 << 18), "+1 ".repeat(1 << 18)];
        for builtin in
            [Builtin::Ssn, Builtin::CreditCard, Builtin::PhoneNumber, Builtin::Email, Builtin::CaSin]
        {
            let guard = Guard::new([(vec![builtin.pattern().expect("it compiles")], Action::Mask)]);
            for text in &texts {
                let masked = guard.masked(text).expect("nothing rejects");
                let has_mail = builtin == Builtin::Email && text.ends_with("a@b.de");
                assert_eq!(masked.is_some(), has_mail, "{builtin:?} {}", &text[text.len() - 9..]);
            }
        }
    }

    #[test]
    fn valid_numbers_are_found_and_others_pass() {
        use Builtin::*;
        for (builtin, text, expect) in [
            (Ssn, "is 078-05-1120.", "is <SSN>."),
            (Ssn, "078 05 1120", "<SSN>"),
            (Ssn, "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000", ""),
            (Ssn, "078-05 1120 1078-05-1120 078-05-11201 078051120", ""),
            (CreditCard, "4111 1111 1111 1111", "<CREDIT_CARD>"),
            (CreditCard, "pay 378282246310005, now", "pay <CREDIT_CARD>, now"),
            (CreditCard, "5555-5555-5555-4444 123", "<CREDIT_CARD> 123"),
            (CreditCard, "1234 4111111111111111", "1234 <CREDIT_CARD>"),
            (CreditCard, "4111 1111 1111 1112 1111111111111111 4111111111111111111111 x4111111111111111", ""),
            (PhoneNumber, "call +49 30 901820 or (212) 555-0123", "call <PHONE_NUMBER> or <PHONE_NUMBER>"),
            (PhoneNumber, "1-212-555-0123 212.555.0123", "<PHONE_NUMBER> <PHONE_NUMBER>"),
            (PhoneNumber, "+1234567, 112-555-0123 911-555-0123 2125550123 212-155-0123", ""),
            (Email, "ann.o+x@mail.example.com, b@c", "<EMAIL>, b@c"),
            (Email, "to <a@b.example>!", "to <<EMAIL>>!"),
            (Email, "a@-b.example a@b-.example a@b a@b.c @b.example", ""),
            (CaSin, "046-454-286 130 692 544", "046-454-286 <CA_SIN>"),
            (CaSin, "130-692-545 130692544 130-692 544", ""),
        ] {
            let guard = Guard::new([(vec![builtin.pattern().expect("it compiles")], Action::Mask)]);
            let masked = guard.masked(text).expect("nothing rejects").unwrap_or_default();
            assert_eq!(masked, expect, "{builtin:?} {text}");
        }
    }
}
