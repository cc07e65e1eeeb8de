use super::CodingFault;
use super::deflate::Inflate;
use crc32fast::Hasher;

/// The coding `gzip`: one member after the other (RFC 1952 section 2.2), mostly one.
pub(super) struct Gzip {
    place: Place,
    flags: u8,
    inflate: Inflate,
    /// Of the header while it is read, then of what was decoded.
    checksum: Hasher,
    decoded: u32,
    trailer: [u8; TRAILER_BYTES],
    /// A member has ended.
    has_member: bool,
}

/// What the next byte of a member is.
#[derive(Clone, Copy)]
enum Place {
    /// Of the bytes that every header begins with, the one at this place.
    Fixed(u8),
    /// Of the length of the extra field, the low byte.
    ExtraLow,
    /// The high byte; the low one was this.
    ExtraHigh(u8),
    /// Of the extra field, so many bytes to come.
    Extra(u16),
    /// Of the file's name, to its NUL.
    Name,
    /// Of the comment, to its NUL.
    Comment,
    /// Of the header's checksum, the low byte.
    CheckLow,
    /// The high byte; the low one was this.
    CheckHigh(u8),
    Data,
    /// Of the trailer, the one at this place.
    Trailer(u8),
}

/// Checksum and length of what was decoded.
const TRAILER_BYTES: usize = 8;

// The flags of a header (RFC 1952 section 2.3.1); the others must be zero.
const HEADER_CHECK: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip {
            place: Place::Fixed(0),
            flags: 0,
            inflate: Inflate::bare(),
            checksum: Hasher::new(),
            decoded: 0,
            trailer: [0; TRAILER_BYTES],
            has_member: false,
        }
    }

    pub(super) fn decode(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, CodingFault> {
        loop {
            if let Place::Data = self.place {
                let made = self.inflate.decode(input, out)?;
                self.checksum.update(out.get(..made).unwrap_or_default());
                self.decoded = self.decoded.wrapping_add(made as u32); // its length modulo 2^32
                if self.inflate.has_ended() {
                    self.place = Place::Trailer(0);
                }
                if made > 0 || input.is_empty() {
                    return Ok(made);
                }
                if !self.inflate.has_ended() {
                    return Err(CodingFault::Corrupt);
                }
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(0) };
            *input = rest;
            match self.place {
                Place::Trailer(at) => self.trailer_byte(at, *byte)?,
                _ => self.header_byte(*byte)?,
            }
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.has_member && matches!(self.place, Place::Fixed(0))
    }

    fn header_byte(&mut self, byte: u8) -> Result<(), CodingFault> {
        let sum = self.checksum.clone().finalize() as u16; // its low half is what a header states
        self.checksum.update(&[byte]);
        self.place = match (self.place, byte) {
            (Place::Fixed(0), 0x1f) => Place::Fixed(1),
            (Place::Fixed(0), _) if self.has_member => return Err(CodingFault::Trailing),
            (Place::Fixed(1), 0x8b) | (Place::Fixed(2), 8) => self.place.next(),
            (Place::Fixed(0..3), _) => return Err(CodingFault::Corrupt),
            (Place::Fixed(3), flags) if flags & RESERVED != 0 => return Err(CodingFault::Corrupt),
            (Place::Fixed(3), flags) => {
                self.flags = flags;
                Place::Fixed(4)
            }
            (Place::Fixed(9), _) => self.after_fixed(),
            (Place::Fixed(_), _) => self.place.next(), // time, flags of the compressor
            (Place::ExtraLow, low) => Place::ExtraHigh(low),
            (Place::ExtraHigh(low), high) => match u16::from_le_bytes([low, high]) {
                0 => self.after_extra(),
                length => Place::Extra(length),
            },
            (Place::Extra(1), _) => self.after_extra(),
            (Place::Extra(left), _) => Place::Extra(left.saturating_sub(1)),
            (Place::Name, 0) => self.after_name(),
            (Place::Comment, 0) => self.after_comment(),
            (Place::CheckLow, low) if low == sum.to_le_bytes()[0] => Place::CheckHigh(sum.to_le_bytes()[1]),
            (Place::CheckHigh(expected), high) if high == expected => self.begin_data(),
            (Place::CheckLow | Place::CheckHigh(_), _) => return Err(CodingFault::Corrupt),
            (place @ (Place::Name | Place::Comment | Place::Data | Place::Trailer(_)), _) => place,
        };
        Ok(())
    }

    fn after_fixed(&mut self) -> Place {
        if self.flags & EXTRA != 0 { Place::ExtraLow } else { self.after_extra() }
    }

    fn after_extra(&mut self) -> Place {
        if self.flags & NAME != 0 { Place::Name } else { self.after_name() }
    }

    fn after_name(&mut self) -> Place {
        if self.flags & COMMENT != 0 { Place::Comment } else { self.after_comment() }
    }

    fn after_comment(&mut self) -> Place {
        if self.flags & HEADER_CHECK != 0 { Place::CheckLow } else { self.begin_data() }
    }

    fn begin_data(&mut self) -> Place {
        self.checksum = Hasher::new();
        self.decoded = 0;
        if self.inflate.has_ended() {
            self.inflate = Inflate::bare();
        }
        Place::Data
    }

    fn trailer_byte(&mut self, at: u8, byte: u8) -> Result<(), CodingFault> {
        if let Some(place) = self.trailer.get_mut(usize::from(at)) {
            *place = byte;
        }
        self.place = Place::Trailer(at + 1);
        if usize::from(at) + 1 < TRAILER_BYTES {
            return Ok(());
        }
        let checksum = std::mem::take(&mut self.checksum).finalize();
        let stated = u64::from_le_bytes(self.trailer);
        if stated != u64::from(checksum) | u64::from(self.decoded) << 32 {
            return Err(CodingFault::Corrupt);
        }
        self.place = Place::Fixed(0);
        self.has_member = true;
        Ok(())
    }
}

impl Place {
    fn next(self) -> Place {
        match self {
            Place::Fixed(at) => Place::Fixed(at.saturating_add(1)),
            place => place,
        }
    }
}
