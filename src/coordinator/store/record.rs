//! What the journal says, and its bytes: each record carries its own checksum.
//!
//! A record is `mark, type, length of payload (u16), payload, CRC32`; numbers are little-endian, a text is its
//! length (u16) and its bytes. The checksum begins from the file's salt and the record's offset: bytes of an
//! older file that the disk gives back, or a record in another's place, are no records.

use crc32fast::Hasher;

/// The longest text that is kept, in bytes; longer ones are cut.
pub const TEXT_MAX: usize = 1024;

/// Bytes of a file's head.
pub(super) const HEAD: usize = 20;
/// The newest form of files that is understood, and in which they are written. The first form knew no slots.
pub(super) const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"tollgate";
/// The first byte of every record; in damaged bytes the next record is looked for by it.
pub(super) const MARK: u8 = 0xB7;
/// Mark, type, length.
const FRONT: usize = 4;
const CRC: usize = 4;

/// One fact about an account. The newest of its kind is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// What an account is called. The store leaves it out where it knows that already, so that it may stand
    /// before every other entry.
    Name {
        /// The account.
        account: u128,
        /// The name of its rule.
        rule: &'a str,
        /// What its key is called in reports.
        label: &'a str,
    },
    /// Up to `ceiling` may be spent in a window. To be committed before anything of it is spent.
    Grant {
        /// The account.
        account: u128,
        /// The window's number.
        window: i64,
        /// All that may be spent within the window, what is spent already included; in the account's units.
        ceiling: u64,
    },
    /// What was spent in a window; replaces the window's grant.
    Balance {
        /// The account.
        account: u128,
        /// The window's number; a number of the caller's for accounts without windows.
        window: i64,
        /// The wall time at which that was so, in milliseconds since 1970 UTC.
        unix_ms: i64,
        /// What was spent, in the account's units. It may be above the budget, which is debt, and below zero,
        /// which is credit.
        spent: i64,
    },
    /// What is in a slot of a sliding budget, or may be. To be committed before anything of a grant is spent. A slot in
    /// which nothing is, is forgotten.
    Slot {
        /// The account.
        account: u128,
        /// The end of the slot's time, in nanoseconds since 1970 UTC; its name.
        until_ns: i64,
        /// In the account's units.
        units: u64,
    },
    /// An account's name and figures are needed no longer. What was decided about it is kept.
    Forget {
        /// The account.
        account: u128,
    },
    /// What an administrator decided about an account, by kind: blocked, another measure, credit.
    Control {
        /// The account.
        account: u128,
        /// Which decision; the numbers are the caller's.
        kind: u8,
        /// Its amount, where the kind has one.
        amount: i64,
        /// When it was made, in milliseconds since 1970 UTC.
        unix_ms: i64,
        /// Its text, where the kind has one.
        text: &'a str,
        /// Who made it.
        by: &'a str,
    },
    /// A decision is taken back.
    Withdraw {
        /// The account.
        account: u128,
        /// Which decision.
        kind: u8,
    },
    /// Everything before this is exact: the process ends.
    Clean {
        /// When, in milliseconds since 1970 UTC.
        unix_ms: i64,
    },
}

impl Entry<'_> {
    /// The same with texts of bearable length.
    pub(super) fn cut(self) -> Self {
        fn short(text: &str) -> &str {
            &text[..text.floor_char_boundary(TEXT_MAX)]
        }
        match self {
            Entry::Name { account, rule, label } => {
                Entry::Name { account, rule: short(rule), label: short(label) }
            }
            Entry::Control { account, kind, amount, unix_ms, text, by } => {
                Entry::Control { account, kind, amount, unix_ms, text: short(text), by: short(by) }
            }
            other => other,
        }
    }
}

/// What stands in a file: entries, and what the store says to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Entry(Entry<'a>),
    /// A run of the process began.
    Opened {
        unix_ms: i64,
    },
    /// Bytes were unreadable: whatever stands before this record may have had a newer figure.
    Damaged {
        unix_ms: i64,
    },
    /// All that stands before it in the file had reached the disk when this was written.
    Seal,
}

const NAME: u8 = 1;
const GRANT: u8 = 2;
const BALANCE: u8 = 3;
const FORGET: u8 = 4;
const CONTROL: u8 = 5;
const WITHDRAW: u8 = 6;
const CLEAN: u8 = 7;
const OPENED: u8 = 8;
const DAMAGED: u8 = 9;
const SEAL: u8 = 10;
const SLOT: u8 = 11;

/// Appends a record to `out`. `offset` is the place in the file at which it will stand. Texts must have been
/// [cut](Entry::cut).
pub(super) fn write(record: &Record, salt: u32, offset: u64, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend([MARK, 0, 0, 0]);
    let kind = payload(record, out);
    let length = (out.len() - begin - FRONT) as u16;
    out[begin + 1] = kind;
    out[begin + 2..begin + FRONT].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(salt, offset, &out[begin..]);
    out.extend(crc.to_le_bytes());
}

/// The record at the front of `bytes`, which stand at `offset` of their file, and its length. `None` when there
/// is none, or only a part of one.
pub(super) fn read(bytes: &[u8], salt: u32, offset: u64) -> Option<(Record<'_>, usize)> {
    let &[MARK, kind, low, high] = bytes.first_chunk::<FRONT>()? else { return None };
    let end = FRONT + usize::from(u16::from_le_bytes([low, high]));
    let crc = u32::from_le_bytes(*bytes.get(end..)?.first_chunk::<CRC>()?);
    if checksum(salt, offset, &bytes[..end]) != crc {
        return None;
    }
    let mut rest = Rest(&bytes[FRONT..end]);
    let record = parse(kind, &mut rest)?;
    rest.0.is_empty().then_some((record, end + CRC))
}

/// A file's head.
pub(super) fn head(salt: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&salt.to_le_bytes());
    let crc = checksum(0, 0, &head[..16]);
    head[16..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// The version and the salt of a file; `None` when its head is damaged. Heads of all versions begin like this.
pub(super) fn read_head(bytes: &[u8]) -> Option<(u32, u32)> {
    let head = bytes.first_chunk::<HEAD>()?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let whole = head[..8] == MAGIC && number(16) == checksum(0, 0, &head[..16]);
    whole.then(|| (number(8), number(12)))
}

/// For the same bytes no two starts give the same checksum, so no record is right in another's place within
/// 4 GiB.
fn checksum(salt: u32, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt ^ offset as u32);
    hasher.update(bytes);
    hasher.finalize()
}

fn payload(record: &Record, out: &mut Vec<u8>) -> u8 {
    match *record {
        Record::Entry(Entry::Name { account, rule, label }) => {
            out.extend(account.to_le_bytes());
            put_text(rule, out);
            put_text(label, out);
            NAME
        }
        Record::Entry(Entry::Grant { account, window, ceiling }) => {
            out.extend(account.to_le_bytes());
            out.extend(window.to_le_bytes());
            out.extend(ceiling.to_le_bytes());
            GRANT
        }
        Record::Entry(Entry::Balance { account, window, unix_ms, spent }) => {
            out.extend(account.to_le_bytes());
            [window, unix_ms, spent].iter().for_each(|number| out.extend(number.to_le_bytes()));
            BALANCE
        }
        Record::Entry(Entry::Slot { account, until_ns, units }) => {
            out.extend(account.to_le_bytes());
            out.extend(until_ns.to_le_bytes());
            out.extend(units.to_le_bytes());
            SLOT
        }
        Record::Entry(Entry::Forget { account }) => {
            out.extend(account.to_le_bytes());
            FORGET
        }
        Record::Entry(Entry::Control { account, kind, amount, unix_ms, text, by }) => {
            out.extend(account.to_le_bytes());
            out.push(kind);
            [amount, unix_ms].iter().for_each(|number| out.extend(number.to_le_bytes()));
            put_text(text, out);
            put_text(by, out);
            CONTROL
        }
        Record::Entry(Entry::Withdraw { account, kind }) => {
            out.extend(account.to_le_bytes());
            out.push(kind);
            WITHDRAW
        }
        Record::Entry(Entry::Clean { unix_ms }) => put_time(CLEAN, unix_ms, out),
        Record::Opened { unix_ms } => put_time(OPENED, unix_ms, out),
        Record::Damaged { unix_ms } => put_time(DAMAGED, unix_ms, out),
        Record::Seal => SEAL,
    }
}

fn put_time(kind: u8, unix_ms: i64, out: &mut Vec<u8>) -> u8 {
    out.extend(unix_ms.to_le_bytes());
    kind
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
}

fn parse<'a>(kind: u8, rest: &mut Rest<'a>) -> Option<Record<'a>> {
    // Fields are read in the order in which they are written here.
    Some(match kind {
        NAME => {
            Record::Entry(Entry::Name { account: rest.account()?, rule: rest.text()?, label: rest.text()? })
        }
        GRANT => Record::Entry(Entry::Grant {
            account: rest.account()?,
            window: rest.number()?,
            ceiling: u64::from_le_bytes(rest.take()?),
        }),
        BALANCE => Record::Entry(Entry::Balance {
            account: rest.account()?,
            window: rest.number()?,
            unix_ms: rest.number()?,
            spent: rest.number()?,
        }),
        SLOT => Record::Entry(Entry::Slot {
            account: rest.account()?,
            until_ns: rest.number()?,
            units: u64::from_le_bytes(rest.take()?),
        }),
        FORGET => Record::Entry(Entry::Forget { account: rest.account()? }),
        CONTROL => Record::Entry(Entry::Control {
            account: rest.account()?,
            kind: rest.byte()?,
            amount: rest.number()?,
            unix_ms: rest.number()?,
            text: rest.text()?,
            by: rest.text()?,
        }),
        WITHDRAW => Record::Entry(Entry::Withdraw { account: rest.account()?, kind: rest.byte()? }),
        CLEAN => Record::Entry(Entry::Clean { unix_ms: rest.number()? }),
        OPENED => Record::Opened { unix_ms: rest.number()? },
        DAMAGED => Record::Damaged { unix_ms: rest.number()? },
        SEAL => Record::Seal,
        _ => return None,
    })
}

/// What is left of a payload.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn account(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    fn number(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(text: &str) -> Vec<Record<'_>> {
        let (account, window, unix_ms) = (u128::MAX - 5, -3, 1_700_000_000_123);
        vec![
            Record::Entry(Entry::Name { account, rule: text, label: "gold" }.cut()),
            Record::Entry(Entry::Grant { account, window, ceiling: u64::MAX }),
            Record::Entry(Entry::Balance { account, window, unix_ms, spent: i64::MIN }),
            Record::Entry(Entry::Slot { account, until_ns: unix_ms << 20, units: u64::MAX }),
            Record::Entry(Entry::Forget { account }),
            Record::Entry(Entry::Control { account, kind: 255, amount: -1, unix_ms, text, by: "ops" }.cut()),
            Record::Entry(Entry::Withdraw { account, kind: 7 }),
            Record::Entry(Entry::Clean { unix_ms }),
            Record::Opened { unix_ms },
            Record::Damaged { unix_ms },
            Record::Seal,
        ]
    }

    #[test]
    fn what_is_written_is_read_at_its_place_only() {
        for record in records("ns/policy/limit") {
            let mut bytes = Vec::new();
            write(&record, 77, 4096, &mut bytes);
            assert_eq!(read(&bytes, 77, 4096), Some((record, bytes.len())));
            assert_eq!(read(&bytes, 78, 4096), None, "another file's salt: {record:?}");
            assert_eq!(read(&bytes, 77, 4097), None, "another place: {record:?}");
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut], 77, 4096), None, "{cut} bytes of {record:?}");
            }
        }
    }

    #[test]
    fn heads_are_whole_or_none() {
        let whole = head(0xDEAD_BEEF);
        assert_eq!(read_head(&whole), Some((VERSION, 0xDEAD_BEEF)));
        assert_eq!(read_head(&whole[..HEAD - 1]), None);
        for bit in 0..HEAD * 8 {
            let mut other = whole;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_head(&other), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn long_texts_are_cut_and_every_record_fits(text in "\\PC{0,1200}") {
            for record in records(&text) {
                let mut bytes = vec![1, 2, 3];
                write(&record, 1, 3, &mut bytes);
                prop_assert_eq!(read(&bytes[3..], 1, 3), Some((record, bytes.len() - 3)));
                prop_assert!(bytes.len() < 3000);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..13) {
            prop_assert_eq!(read(&bytes, 0, 0), None);
            // The same as the payload of a record whose checksum is right.
            let mut framed = vec![MARK, kind];
            framed.extend((bytes.len() as u16).to_le_bytes());
            framed.extend(&bytes);
            let crc = checksum(9, 5, &framed);
            framed.extend(crc.to_le_bytes());
            if let Some((record, length)) = read(&framed, 9, 5) {
                let mut again = Vec::new();
                write(&record, 9, 5, &mut again);
                prop_assert_eq!(&again, &framed);
                prop_assert_eq!(length, framed.len());
            }
        }
    }
}
