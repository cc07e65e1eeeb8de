//! An answer that stands in the configuration: kgateway's DirectResponse, and `directResponse` of AgentgatewayPolicy.

use crate::config::reader::{Cursor, Fields};
use crate::route::filters::DirectResponse;

/// The most characters of a body (kgateway, agentgateway).
const BODY_MAX: usize = 4096;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<DirectResponse> {
    spec.fields(fields)
}

fn fields(fields: &mut Fields<'_>) -> Option<DirectResponse> {
    let status = fields.need("status").and_then(|field| field.integer(200..=599));
    let body = fields.get("body").map(|field| {
        let text = field.word()?.value;
        let length = text.chars().count();
        if length > BODY_MAX {
            field.fault(format!("has {length} characters; at most {BODY_MAX} are allowed"));
        }
        Some(text)
    });
    fields.unsupported(&["bodyFormat"], "write the text itself as body");
    fields.unsupported(&["headers"], "remove it; a ResponseHeaderModifier of the rule sets headers");
    let body = match body {
        Some(body) => body?,
        None => String::new(),
    };
    let status = u16::try_from(status?.value).ok()?;
    if matches!(status, 204 | 304) && !body.is_empty() {
        let message = format!("an answer with the status {status} has no body");
        fields.faults().fault_with_help(fields.at(), message, "remove the body, or write status: 200");
    }
    Some(DirectResponse { status, body })
}
