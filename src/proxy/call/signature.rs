//! AWS's signature over a request that is ready to go.

use super::Call;
use crate::base::Span;
use crate::config::{Credential, Fetched, Signs};
use crate::llm::auth::aws::{BodyHash, Request};
use crate::proxy::serving::Serving;
use crate::proxy::worker::Worker;

/// Appends the lines of the signature to the head in `out`, which lacks nothing else but its end, if the backend's
/// credential signs requests: with what was `fetched`, if it is fetched. The head's target stands at `target`.
pub(super) fn write(
    worker: &Worker,
    serving: &Serving,
    call: &Call<'_>,
    fetched: Option<&Fetched>,
    target: Span,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    let credentials = match (call.credential, fetched) {
        (Credential::Aws { signs: Signs::With(credentials), .. }, _) => credentials,
        (Credential::Aws { signs: Signs::Fetched(_), .. }, Some(Fetched::Aws(credentials))) => credentials,
        _ => return,
    };
    let mut signers = serving.signers.borrow_mut();
    // Every backend with such a credential has a signer, see `Serving::of`.
    let Some(Some(signer)) = signers.get_mut(call.index as usize) else { return };
    let target = target.of(out).to_vec();
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let request = Request {
        method: "POST",
        host: call.host().as_bytes(),
        path: target.get(..end).unwrap_or_default(),
        query: target.get(end + 1..).unwrap_or_default(),
        headers: &[("content-type", b"application/json")],
        body: &BodyHash::of([body]),
    };
    let unix_s = u64::try_from(worker.moment().unix_ms / 1000).unwrap_or_default();
    signer.sign(&request, credentials, unix_s, out);
}
