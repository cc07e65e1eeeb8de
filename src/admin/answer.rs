//! What a client is told: a status, a body, at most one header that belongs to the status.

use crate::wire::json::write::Object;

/// A status, and what goes with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// An answer of plain text; a line end is added.
    pub(super) fn plain(status: u16, text: &str) -> Answer {
        Answer::of(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
    }

    /// A good answer: a JSON object of what `fill` puts into it; a line end is added.
    pub(super) fn json(fill: impl FnOnce(&mut Object<'_>)) -> Answer {
        let mut body = Vec::with_capacity(1 << 10);
        fill(&mut Object::new(&mut body));
        body.push(b'\n');
        Answer::of(200, "application/json", body)
    }

    /// A JSON object that says why not. `why` never holds what the client sent as a key or token.
    pub(super) fn fault(status: u16, why: &str) -> Answer {
        Answer { status, ..Answer::json(|object| _ = object.string("error", why)) }
    }

    /// An answer with this body.
    pub(super) fn of(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
        Answer { status, content_type, header: None, body }
    }

    /// The same with a header.
    pub(super) fn with(self, name: &'static str, value: &'static str) -> Answer {
        Answer { header: Some((name, value)), ..self }
    }
}
