//! Guards of an answer on its way: what they hold back, what they mask, and how they end it.

use super::Outflow;
use crate::llm::Cutter;
use crate::llm::cut::End;
use crate::llm::guard::{Guards, Masker, Phase, Rejection, Window};
use crate::proxy::call::Call;
use crate::proxy::client::Client;
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::policy;
use crate::telemetry::lists::Check;
use std::sync::Arc;

/// What a stream in the client's format goes through before it leaves: patterns first, then what services judge.
pub(super) struct Sieve {
    masker: Option<Masker>,
    window: Option<Window>,
    /// A service rejects it.
    is_rejected: bool,
    noted: bool,
}

impl Sieve {
    pub(super) fn new(call: &Call<'_>, guards: &Guards) -> Box<Sieve> {
        let guard = &guards.response;
        let masker = (!guard.is_empty()).then(|| Masker::new(call.client, guard.clone()));
        let window = (!guards.response_services.is_empty()).then(|| Window::new(call.client));
        Box::new(Sieve { masker, window, is_rejected: false, noted: false })
    }

    pub(super) fn held_bytes(&self) -> usize {
        let masker = self.masker.as_ref().map_or(0, Masker::held_bytes);
        masker + self.window.as_ref().map_or(0, Window::held_bytes)
    }

    /// Takes what is said; appends to `ours` what may pass.
    fn feed(&mut self, said: &[u8], ours: &mut Vec<u8>) -> Result<(), Fault> {
        let fed = match (&mut self.masker, &mut self.window) {
            (Some(masker), Some(window)) => {
                let mut masked = Vec::new();
                masker.feed(said, &mut masked).and_then(|()| window.feed(&masked, ours))
            }
            (Some(masker), None) => masker.feed(said, ours),
            (None, Some(window)) => window.feed(said, ours),
            (None, None) => Ok(()),
        };
        fed.map_err(|long| Fault::ProviderMalformed(long.reason()))
    }

    /// Nothing more is said.
    fn finish(&mut self, ours: &mut Vec<u8>) -> Result<(), Fault> {
        match (&mut self.masker, &mut self.window) {
            (Some(masker), None) => masker.finish(ours),
            (masker, Some(window)) => {
                let mut masked = Vec::new();
                masker.iter_mut().for_each(|masker| masker.finish(&mut masked));
                window.feed(&masked, ours).map_err(|long| Fault::ProviderMalformed(long.reason()))?;
                window.finish(ours);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn rejected(&self) -> Option<&Arc<Rejection>> {
        self.masker.as_ref().and_then(Masker::rejected)
    }
}

/// Guards what `ours` holds from `before` on, which is the stream in the client's format; with `last` also what was held
/// back. `cutter` sees what passes.
///
/// # Errors
/// An event is too long to be looked at.
pub(super) fn sift(
    sieve: &mut Sieve,
    cutter: &mut Option<Box<Cutter>>,
    ours: &mut Vec<u8>,
    before: usize,
    last: bool,
) -> Result<(), Fault> {
    let said = ours.split_off(before);
    sieve.feed(&said, ours)?;
    if last {
        sieve.finish(ours)?;
    }
    if let Some(cutter) = cutter {
        cutter.feed(ours.get(before..).unwrap_or_default());
    }
    Ok(())
}

impl Outflow {
    /// Whether a guard rejects the stream, which then ends here.
    pub(in crate::proxy) fn is_rejected(&self) -> bool {
        self.sieve.as_ref().is_some_and(|sieve| sieve.is_rejected || sieve.rejected().is_some())
    }

    /// Ends a stream that a guard rejects, as its format says that content was filtered. What has been generated is charged,
    /// and the provider generates no more.
    pub(in crate::proxy) fn end_rejected(&mut self, entry: &mut Entry, call: &Call<'_>) {
        if let Some(rejection) = self.sieve.as_ref().and_then(|sieve| sieve.rejected()) {
            entry.rejected_by(rejection.by);
        }
        self.note_patterns(entry);
        let (usage, _) = entry.usage();
        if let Some(cutter) = &self.cutter {
            let include_usage = call.ask.include_usage == Some(true);
            cutter.finish_as(End::Filtered, &usage, include_usage, &mut self.gather.ours);
        }
    }

    /// Guards what was written of a stream since `before`, and lets go of what patterns held back: nothing follows.
    pub(super) fn sift_last(&mut self, before: usize) -> Result<(), Fault> {
        match &mut self.sieve {
            Some(sieve) => sift(sieve, &mut self.cutter, &mut self.gather.ours, before, true),
            None => Ok(()),
        }
    }

    /// Counts what came of looking for patterns in a stream, once.
    pub(super) fn note_patterns(&mut self, entry: &Entry) {
        let Some(sieve) = self.sieve.as_mut().filter(|sieve| !sieve.noted) else { return };
        let Some(masker) = &sieve.masker else { return };
        sieve.noted = true;
        let check = match masker.rejected() {
            Some(_) => Check::Reject,
            None if masker.has_masked() => Check::Mask,
            None => Check::Pass,
        };
        policy::note(entry, Phase::Response, check);
    }

    /// Whether services judge what is said.
    pub(in crate::proxy) fn is_judged(&self) -> bool {
        self.judges.is_some()
    }

    /// Whether enough of a stream is held back that services are to be asked about it.
    pub(in crate::proxy) fn is_due(&self) -> bool {
        let window =
            self.sieve.as_ref().filter(|sieve| !sieve.is_rejected).and_then(|sieve| sieve.window.as_ref());
        window.is_some_and(Window::is_due)
    }

    /// Has services judge what is held back of a stream, and lets go of it if they let it pass: else the stream
    /// [is rejected](Outflow::is_rejected).
    ///
    /// # Errors
    /// The client has left.
    pub(in crate::proxy) async fn judge(&mut self, client: &Client, entry: &mut Entry) -> Result<(), Fault> {
        let (Some(sieve), Some(judges)) = (&mut self.sieve, &self.judges) else { return Ok(()) };
        let Some(window) = sieve.window.as_mut().filter(|window| window.is_due()) else { return Ok(()) };
        let mut said = window.question();
        match judges.judge(&client.socket, entry, &mut said).await {
            Err(Fault::ClientGone) => return Err(Fault::ClientGone),
            // The beginning of the answer is out, so that its end is all that can still be told.
            Err(_) => sieve.is_rejected = true,
            Ok(()) => {
                let before = self.gather.ours.len();
                window.judged(&said, &mut self.gather.ours);
                if let Some(cutter) = &mut self.cutter {
                    cutter.feed(self.gather.ours.get(before..).unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    /// The stream broke off: drops what nobody has judged. What has no texts, as an error has none, passes.
    pub(super) fn drop_unjudged(&mut self) {
        if let Some(window) = self.sieve.as_mut().and_then(|sieve| sieve.window.as_mut()) {
            window.drop_held(&mut self.gather.ours);
        }
    }

    /// As [`finish`](Outflow::finish), with what services say of the answer, or of the rest of a stream.
    pub(in crate::proxy) async fn finish_judged(
        &mut self,
        client: &Client,
        entry: &mut Entry,
        call: &Call<'_>,
        status: u16,
    ) -> Result<(), Fault> {
        if let Some((status, answer)) = self.whole(entry, call, status)? {
            let judged = match &self.judges {
                Some(judges) => judges.answer(&client.socket, entry, call.client, &answer).await?,
                None => None,
            };
            self.write_whole(entry, status, judged.as_deref().unwrap_or(&answer));
            return Ok(());
        }
        self.finish_stream(entry)?;
        self.judge(client, entry).await?;
        if self.is_rejected() {
            self.end_rejected(entry, call);
        }
        Ok(())
    }
}
