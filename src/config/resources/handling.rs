//! What policies of both generations say of how a request is handled where its rule does not say so itself: how long it may take, when
//! it is made again, which headers are changed.

use super::filters::header_edits;
use super::httproute::{self, Retry};
use super::target::{Target, TargetKind};
use super::trafficpolicy::located;
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::route::filters::HeaderEdits;
use std::time::Duration;

/// It; a field is `None` where it says nothing.
#[derive(Default)]
pub(crate) struct Handling {
    /// Zero is no limit.
    pub(crate) timeout: Option<Located<Duration>>,
    pub(crate) retry: Option<Located<PolicyRetry>>,
    pub(crate) headers: Option<Located<HeaderModifiers>>,
}

/// When a request is made again.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PolicyRetry {
    pub(crate) retry: Retry,
    /// kgateway's: how long one call to a backend may take.
    pub(crate) per_try: Option<Duration>,
}

/// Edits of heads.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HeaderModifiers {
    pub(crate) request: HeaderEdits,
    pub(crate) response: HeaderEdits,
}

/// Their names, in both generations.
pub(super) const FIELDS: [&str; 3] = ["timeouts", "retry", "headerModifiers"];

/// Reads what agentgateway's `traffic` says.
pub(super) fn agentgateway(fields: &mut Fields<'_>) -> Handling {
    Handling {
        timeout: fields.get("timeouts").and_then(|field| {
            let read = field.fields(|fields| fields.need("request").and_then(|field| timeout(&field)));
            located(&field, read)
        }),
        retry: fields.get("retry").and_then(|field| {
            let read = field.fields(|fields| {
                fields
                    .unsupported(&["precondition", "condition"], "remove it; codes says after which answers");
                httproute::retry(fields)
            });
            located(&field, read.map(|retry| PolicyRetry { retry, per_try: None }))
        }),
        headers: fields.get("headerModifiers").and_then(|field| headers(&field)),
    }
}

/// Reads what kgateway's TrafficPolicy says.
pub(super) fn kgateway(fields: &mut Fields<'_>, targets: &[Target]) -> Handling {
    let timeouts = fields.get("timeouts");
    if let Some(field) = &timeouts
        && targets.iter().any(|target| target.kind != TargetKind::HttpRoute)
    {
        let help = "write a policy of its own, whose targetRefs name HTTPRoutes alone";
        field.fault_with_help("applies to HTTPRoutes alone", help);
    }
    let timeout = timeouts.and_then(|field| {
        let read = field.fields(|fields| {
            fields.unsupported(&["streamIdle"], "write timeouts.streamIdle into Settings");
            match fields.has("streamIdle") {
                true => fields.get("request"),
                false => fields.need("request"),
            }
            .and_then(|field| self::timeout(&field))
        });
        located(&field, read)
    });
    let retry = fields.get("retry").and_then(|field| located(&field, field.fields(kgateway_retry)));
    let headers = fields.get("headerModifiers").and_then(|field| headers(&field));
    if let (Some(timeout), Some(retry)) = (&timeout, &retry)
        && retry.value.per_try.is_some_and(|per_try| !timeout.value.is_zero() && per_try >= timeout.value)
    {
        let message = "perTryTimeout is no shorter than timeouts.request";
        fields.faults().fault_with_help(retry.at, message, "the request timeout spans all tries");
    }
    Handling { timeout, retry, headers }
}

/// No unit is shorter than a millisecond, which is the least that agentgateway takes.
fn timeout(field: &Cursor<'_>) -> Option<Duration> {
    Some(field.duration()?.value)
}

/// Conditions of Envoy's. A connection that fails or breaks before an answer is a reason in any case, as Gateway API wants it.
fn kgateway_retry(fields: &mut Fields<'_>) -> Option<PolicyRetry> {
    const CONDITIONS: [(&str, &[u16]); 5] = [
        ("5xx", &[500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511]),
        ("gateway-error", &[502, 503, 504]),
        ("connect-failure", &[]),
        ("reset", &[]),
        ("retriable-status-codes", &[]),
    ];
    const CONDITIONS_MAX: usize = 16;
    const BACKOFF: Duration = Duration::from_millis(25);
    let on = fields.list("retryOn", CONDITIONS_MAX, |item| item.one_of(&CONDITIONS));
    let given = httproute::codes(fields, "statusCodes");
    if !fields.has("retryOn") && !fields.has("statusCodes") {
        let help = "write retryOn: [gateway-error] or statusCodes: [503]";
        fields.faults().fault_with_help(fields.at(), "retry does not say when", help);
    }
    let attempts = httproute::attempts(fields);
    let per_try = fields.get("perTryTimeout").map(|field| timeout(&field));
    let backoff = fields.get("backoffBaseInterval").map(|field| field.duration());
    let mut codes: Vec<u16> = on.iter().flat_map(|condition| condition.value).copied().chain(given).collect();
    codes.sort_unstable();
    codes.dedup();
    let backoff = match backoff {
        Some(given) => given?.value,
        None => BACKOFF,
    };
    let per_try = match per_try {
        Some(given) => Some(given?),
        None => None,
    };
    Some(PolicyRetry { retry: Retry { codes, attempts, backoff: Some(backoff) }, per_try })
}

/// `{request, response}`, each as the filter of Gateway API has it.
fn headers(field: &Cursor<'_>) -> Option<Located<HeaderModifiers>> {
    let read = field.fields(|fields| {
        let edits = |field: Cursor<'_>| field.fields(header_edits).unwrap_or_default();
        let [request, response] = ["request", "response"].map(|name| fields.get(name));
        if request.is_none() && response.is_none() {
            let help = "write request: {set: [...]}, or response, or remove it";
            fields.faults().fault_with_help(fields.at(), "headerModifiers says nothing", help);
        }
        let [request, response] = [request, response].map(|field| field.map(edits).unwrap_or_default());
        Some(HeaderModifiers { request, response })
    });
    located(field, read)
}
