//! Guards of an answer on its way: what they hold back, what they mask, and how they end it.

use super::Outflow;
use crate::llm::cut::End;
use crate::llm::guard::Masker;
use crate::llm::{Cutter, Usage};
use crate::proxy::call::Call;
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;

/// Guards what `ours` holds from `before` on, which is the stream in the client's format; with `last` also what was held
/// back. `cutter` sees what passes.
///
/// # Errors
/// An event is too long to be looked at.
pub(super) fn mask(
    masker: &mut Masker,
    cutter: &mut Option<Box<Cutter>>,
    ours: &mut Vec<u8>,
    before: usize,
    last: bool,
) -> Result<(), Fault> {
    let said = ours.split_off(before);
    masker.feed(&said, ours).map_err(|long| Fault::ProviderMalformed(long.reason()))?;
    if last {
        masker.finish(ours);
    }
    if let Some(cutter) = cutter {
        cutter.feed(ours.get(before..).unwrap_or_default());
    }
    Ok(())
}

impl Outflow {
    /// Whether a guard rejects the stream, which then ends here.
    pub(in crate::proxy) fn is_rejected(&self) -> bool {
        self.masker.as_ref().is_some_and(|masker| masker.is_rejected())
    }

    /// Ends a stream that a guard rejects, as its format says that content was filtered. What has been generated is charged,
    /// and the provider generates no more.
    pub(in crate::proxy) fn end_rejected(&mut self, entry: &Entry, call: &Call<'_>) {
        let (usage, _) = entry.usage();
        self.end_filtered(&usage, call.ask.include_usage == Some(true));
    }

    fn end_filtered(&mut self, usage: &Usage, include_usage: bool) {
        if let Some(cutter) = &self.cutter {
            cutter.finish_as(End::Filtered, usage, include_usage, &mut self.gather.ours);
        }
    }

    /// Guards what was written of a stream since `before`, and lets go of what was held back: nothing follows.
    pub(super) fn mask_last(&mut self, before: usize) -> Result<(), Fault> {
        match &mut self.masker {
            Some(masker) => mask(masker, &mut self.cutter, &mut self.gather.ours, before, true),
            None => Ok(()),
        }
    }
}
