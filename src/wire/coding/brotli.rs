use super::CodingFault;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

/// The coding `br`.
pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

impl Brotli {
    /// With windows of the format itself, which it grows into as it goes.
    pub(super) fn new() -> Brotli {
        let alloc = StandardAlloc::default;
        Brotli { state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), ended: false }
    }

    pub(super) fn decode(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, CodingFault> {
        if self.ended {
            return if input.is_empty() { Ok(0) } else { Err(CodingFault::Trailing) };
        }
        let (mut left, mut eaten) = (input.len(), 0);
        let (mut room, mut made, mut total) = (out.len(), 0, 0);
        let state = &mut self.state;
        let result = BrotliDecompressStream(
            &mut left, &mut eaten, input, &mut room, &mut made, out, &mut total, state,
        );
        *input = input.get(eaten..).unwrap_or_default();
        match result {
            BrotliResult::ResultSuccess if made == 0 && !input.is_empty() => {
                return Err(CodingFault::Trailing);
            }
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(CodingFault::Corrupt),
        }
        Ok(made)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.ended
    }
}
