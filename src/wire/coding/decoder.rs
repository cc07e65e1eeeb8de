use super::brotli::Brotli;
use super::deflate::Deflate;
use super::gzip::Gzip;
use super::zstd::Zstd;
use super::{Coding, CodingFault, Codings};

/// The most bytes of a decoded piece.
pub const PIECE_BYTES: usize = 16 << 10;

/// Bytes that a body may expand to however few were received: as much as a large answer of a model that repeats
/// itself, which compresses to next to nothing.
pub const FREE_BYTES: u64 = 32 << 20;

/// Decoded bytes beyond [`FREE_BYTES`] for each byte received. Text of models compresses to a fifth, streams of it to a
/// twentieth.
pub const EXPANSION_MAX: u64 = 256;

/// What the window of gzip and deflate, and the tables of any coding, take.
const SMALL_WINDOW_BYTES: usize = 48 << 10;

/// Undoes the codings of one body while it arrives.
///
/// Call [`next`](Decoder::next) with what has arrived until it gives no piece more, and again when more has arrived;
/// at the end of the body ask [`finish`](Decoder::finish) whether it was complete. After a fault it repeats that
/// fault. What was decoded before a fault has been given.
pub struct Decoder {
    /// The last coding that was applied is the first to be undone.
    stages: Vec<Stage>,
    received: u64,
    fault: Option<CodingFault>,
}

/// One coding being undone.
struct Stage {
    codec: Codec,
    piece: Box<[u8]>,
    /// Where in `piece` stands what the next stage has not eaten.
    start: usize,
    end: usize,
    /// The last piece was as large as it might be: there may be more without more input.
    is_full: bool,
    made: u64,
}

enum Codec {
    Gzip(Box<Gzip>),
    Deflate(Deflate),
    Brotli(Brotli),
    Zstd(Zstd),
}

impl Decoder {
    /// For a body with these codings; `None` when it has none.
    pub fn new(codings: &Codings) -> Option<Decoder> {
        let stages: Vec<Stage> = codings.iter().rev().map(Stage::new).collect();
        (!stages.is_empty()).then_some(Decoder { stages, received: 0, fault: None })
    }

    /// Eats from `input`, which begins after what was eaten before, and gives the next piece: at most `most` bytes, and
    /// at most [`PIECE_BYTES`]; never an empty one. `None` when all of `input` is eaten and there is no more.
    ///
    /// # Errors
    /// See [`CodingFault`].
    pub fn next(&mut self, input: &mut &[u8], most: usize) -> Result<Option<&[u8]>, CodingFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Decoder { stages, received, fault } = self;
        match pull(stages, input, received, most.clamp(1, PIECE_BYTES)) {
            Ok(0) => Ok(None),
            Ok(made) => Ok(stages.last().and_then(|last| last.piece.get(..made))),
            Err(why) => {
                *fault = Some(why);
                Err(why)
            }
        }
    }

    /// Bytes of its windows and pieces: of a window that grows with what is decoded, as much as it can have grown to.
    pub fn held_bytes(&self) -> usize {
        self.stages.iter().map(Stage::held_bytes).sum()
    }

    /// Whether the body may end here, when all was eaten and given. A body without a byte is complete.
    ///
    /// # Errors
    /// [`CodingFault::Truncated`], or the fault that [`next`](Decoder::next) gave.
    pub fn finish(&self) -> Result<(), CodingFault> {
        let is_complete = self.received == 0 || self.stages.iter().all(|stage| stage.codec.is_complete());
        match self.fault {
            Some(fault) => Err(fault),
            None if is_complete => Ok(()),
            None => Err(CodingFault::Truncated),
        }
    }
}

/// Makes the last of `stages` decode a piece of at most `most` bytes; how many it has. None when more must arrive first.
fn pull(
    stages: &mut [Stage],
    input: &mut &[u8],
    received: &mut u64,
    most: usize,
) -> Result<usize, CodingFault> {
    let Some((stage, before)) = stages.split_last_mut() else { return Ok(0) };
    loop {
        let made = if before.is_empty() {
            if input.is_empty() && !stage.is_full {
                return Ok(0);
            }
            let length = input.len();
            let made = stage.decode(input, most)?;
            *received += (length - input.len()) as u64;
            made
        } else {
            let is_dry = before.last().is_none_or(|source| source.start == source.end);
            if is_dry && !stage.is_full && pull(before, input, received, PIECE_BYTES)? == 0 {
                return Ok(0);
            }
            match before.last_mut() {
                Some(source) => stage.decode_from(source, most)?,
                None => 0,
            }
        };
        if stage.made > FREE_BYTES.saturating_add(EXPANSION_MAX.saturating_mul(*received)) {
            return Err(CodingFault::Expansion);
        }
        if made > 0 {
            return Ok(made);
        }
    }
}

impl Stage {
    fn held_bytes(&self) -> usize {
        // A window is allocated for what its frame says, which is no more than twice what it has made, or small.
        let grown =
            |most: usize| usize::try_from(self.made.saturating_mul(2)).map_or(most, |bytes| bytes.min(most));
        self.piece.len()
            + SMALL_WINDOW_BYTES
            + match self.codec {
                Codec::Gzip(_) | Codec::Deflate(_) => 0,
                Codec::Brotli(_) => grown(16 << 20),
                Codec::Zstd(_) => grown(8 << 20),
            }
    }

    fn new(coding: Coding) -> Stage {
        let codec = match coding {
            Coding::Gzip => Codec::Gzip(Box::new(Gzip::new())),
            Coding::Deflate => Codec::Deflate(Deflate::Start),
            Coding::Brotli => Codec::Brotli(Brotli::new()),
            Coding::Zstd => Codec::Zstd(Zstd::new()),
        };
        let piece = vec![0; PIECE_BYTES].into_boxed_slice();
        Stage { codec, piece, start: 0, end: 0, is_full: false, made: 0 }
    }

    /// Decodes into an empty piece. Either makes something or eats all of `input`.
    fn decode(&mut self, input: &mut &[u8], most: usize) -> Result<usize, CodingFault> {
        let room = self.piece.get_mut(..most).unwrap_or_default();
        let most = room.len();
        let made = self.codec.decode(input, room)?;
        if made == 0 && !input.is_empty() {
            return Err(CodingFault::Corrupt); // it would go on so for ever
        }
        self.is_full = made == most;
        (self.start, self.end) = (0, made);
        self.made += made as u64;
        Ok(made)
    }

    /// [`decode`](Stage::decode) of what the stage before has made.
    fn decode_from(&mut self, source: &mut Stage, most: usize) -> Result<usize, CodingFault> {
        let mut rest = source.piece.get(source.start..source.end).unwrap_or_default();
        let made = self.decode(&mut rest, most)?;
        source.start = source.end - rest.len();
        Ok(made)
    }
}

impl Codec {
    /// Eats from `input` and writes to `out`, which has room; how much it wrote. Nothing only when it has eaten all.
    fn decode(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, CodingFault> {
        match self {
            Codec::Gzip(gzip) => gzip.decode(input, out),
            Codec::Deflate(deflate) => deflate.decode(input, out),
            Codec::Brotli(brotli) => brotli.decode(input, out),
            Codec::Zstd(zstd) => zstd.decode(input, out),
        }
    }

    /// Whether the body may end here.
    fn is_complete(&self) -> bool {
        match self {
            Codec::Gzip(gzip) => gzip.is_complete(),
            Codec::Deflate(deflate) => deflate.is_complete(),
            Codec::Brotli(brotli) => brotli.is_complete(),
            Codec::Zstd(zstd) => zstd.is_complete(),
        }
    }
}
