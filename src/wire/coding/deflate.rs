use super::CodingFault;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// A deflate stream, bare or in the frame of zlib.
pub(super) struct Inflate {
    state: Box<InflateState>,
    ended: bool,
}

impl Inflate {
    /// Without a frame (RFC 1951).
    pub(super) fn bare() -> Inflate {
        Inflate::of(DataFormat::Raw)
    }

    /// With zlib's header and checksum (RFC 1950).
    pub(super) fn zlib() -> Inflate {
        Inflate::of(DataFormat::Zlib)
    }

    fn of(format: DataFormat) -> Inflate {
        Inflate { state: InflateState::new_boxed(format), ended: false }
    }

    /// Goes on with `input`, which begins after what was eaten, and writes to `out`; how much it wrote. It eats all
    /// of `input` unless `out` is full or the stream has ended.
    pub(super) fn decode(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, CodingFault> {
        let result = inflate(&mut self.state, input, out, MZFlush::None);
        *input = input.get(result.bytes_consumed..).unwrap_or_default();
        match result.status {
            Ok(status) => self.ended = status == MZStatus::StreamEnd,
            Err(MZError::Buf) => {} // there was nothing to do
            Err(_) => return Err(CodingFault::Corrupt),
        }
        Ok(result.bytes_written)
    }

    /// Whether the stream has ended, and all of it was written.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

/// The coding `deflate`: which of the two forms it is, the first two bytes tell.
pub(super) enum Deflate {
    Start,
    /// The first byte, which is not read yet.
    First(u8),
    Body(Inflate),
}

impl Deflate {
    pub(super) fn decode(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, CodingFault> {
        loop {
            match self {
                Deflate::Body(inflate) => {
                    let made = if inflate.has_ended() { 0 } else { inflate.decode(input, out)? };
                    let goes_on = made == 0 && inflate.has_ended() && !input.is_empty();
                    return if goes_on { Err(CodingFault::Trailing) } else { Ok(made) };
                }
                Deflate::Start => {
                    let Some((first, rest)) = input.split_first() else { return Ok(0) };
                    (*self, *input) = (Deflate::First(*first), rest);
                }
                Deflate::First(first) => {
                    let Some(second) = input.first() else { return Ok(0) };
                    let mut inflate =
                        if is_zlib(*first, *second) { Inflate::zlib() } else { Inflate::bare() };
                    inflate.decode(&mut &[*first][..], out)?; // no block is done within a byte: nothing is written
                    *self = Deflate::Body(inflate);
                }
            }
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Deflate::Body(inflate) if inflate.has_ended())
    }
}

/// Whether these are the bytes that zlib's format begins with (RFC 1950 section 2.2). Bare deflate would begin so only with
/// a stored block whose padding is not zero, which no encoder writes.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
