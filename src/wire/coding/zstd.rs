use super::CodingFault;
use zstd_safe::zstd_sys::ZSTD_ErrorCode::{
    ZSTD_error_frameParameter_windowTooLarge, ZSTD_error_memory_allocation,
};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, is_error_kind};

/// The coding `zstd`: frames, one after the other.
pub(super) struct Zstd {
    /// `None` when there was no memory for it.
    context: Option<DCtx<'static>>,
    /// A frame has ended and no other has begun.
    is_between: bool,
}

/// The largest window has 2^23 bytes (RFC 9659 section 3).
const WINDOW_LOG_MAX: u32 = 23;

impl Zstd {
    pub(super) fn new() -> Zstd {
        let bounded = |mut context: DCtx<'static>| {
            context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).ok().map(|_| context)
        };
        Zstd { context: DCtx::try_create().and_then(bounded), is_between: false }
    }

    pub(super) fn decode(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, CodingFault> {
        let context = self.context.as_mut().ok_or(CodingFault::Memory)?;
        // A step ends with its frame, be it one of no bytes; one without input would begin a frame.
        while !(self.is_between && input.is_empty()) {
            let (mut source, mut target) = (InBuffer::around(input), OutBuffer::around(out));
            let step = context.decompress_stream(&mut target, &mut source);
            let (eaten, made) = (source.pos(), target.pos());
            *input = input.get(eaten..).unwrap_or_default();
            self.is_between = step.map_err(fault)? == 0;
            if made > 0 || eaten == 0 {
                return Ok(made);
            }
        }
        Ok(0)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_between
    }
}

fn fault(code: usize) -> CodingFault {
    if is_error_kind(code, ZSTD_error_frameParameter_windowTooLarge) {
        CodingFault::Window
    } else if is_error_kind(code, ZSTD_error_memory_allocation) {
        CodingFault::Memory
    } else {
        CodingFault::Corrupt
    }
}
