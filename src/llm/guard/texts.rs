//! Texts that a service is asked about: those of a request by who says them, those of an answer.

use super::{answer, request, text_at};
use crate::base::Span;
use crate::llm::Format;
use crate::llm::policy::Patch;
use crate::wire::json::write;
use std::collections::HashMap;

/// Who says a text, as services are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// The operator or the application: instructions, descriptions of tools, schemas.
    System,
    /// Whoever talks to the model.
    #[default]
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
}

impl Role {
    /// Its name, which is OpenAI's.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }

    /// The role of a turn by the name that any of the formats has for it; one that nobody has is the user's.
    pub(super) fn named(name: &[u8]) -> Role {
        match name {
            b"system" | b"developer" => Role::System,
            b"assistant" | b"model" => Role::Assistant,
            b"tool" | b"function" => Role::Tool,
            _ => Role::User,
        }
    }

    /// Who says an item of Responses that has no role, by its type (OpenAI API reference, "Input item").
    pub(super) fn of_item(kind: &[u8]) -> Option<Role> {
        match kind {
            b"message" => None,
            kind if kind.ends_with(b"_output") => Some(Role::Tool),
            kind if kind.ends_with(b"_call") || kind == b"reasoning" => Some(Role::Assistant),
            _ => None,
        }
    }
}

/// A text to be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Said {
    /// Who says it.
    pub role: Role,
    /// The text, unescaped.
    pub text: String,
    /// So many bytes at its beginning are out already: they are context, and can be masked no more.
    pub passed: usize,
}

/// The texts of a body that is whole, and where they stand.
#[derive(Debug, Default)]
pub struct Texts {
    /// In the order of the body. Of an answer, texts that are the same stand here once: Responses repeat theirs.
    pub said: Vec<Said>,
    /// Where each stands; of those that are the same, all.
    places: Vec<(Span, usize)>,
    /// What spells the texts out again, and what comes in its place.
    blanks: Vec<(Span, &'static str)>,
}

impl Texts {
    /// Of a request in the client's `format`, which was inspected. Texts that say nothing are left out.
    pub fn of_request(format: Format, body: &[u8]) -> Texts {
        let mut texts = Texts::default();
        for (span, role) in request::texts(format, body) {
            if let Some(text) = text_at(body, span).filter(|text| !text.is_empty()) {
                texts.places.push((span, texts.said.len()));
                texts.said.push(Said { role, text: text.into_owned(), passed: 0 });
            }
        }
        texts
    }

    /// Of a whole answer in the client's `format`, likewise; `None` when it is no JSON.
    pub fn of_answer(format: Format, body: &[u8]) -> Option<Texts> {
        let found = answer::find(format, body)?;
        let mut texts = Texts { blanks: found.blanks, ..Texts::default() };
        let mut known = Known::default();
        for text in found.texts {
            if let Some(text_of) = text_at(body, text.span).filter(|text| !text.is_empty()) {
                let said = Said { role: Role::Assistant, text: text_of.into_owned(), passed: 0 };
                texts.places.push((text.span, known.place(said, &mut texts.said)));
            }
        }
        Some(texts)
    }

    /// The body with what `said` holds now; `None` when it stays as it is.
    pub fn applied(self, body: &[u8]) -> Option<Vec<u8>> {
        let mut patch = Patch::default();
        for (span, place) in self.places {
            let now = self.said.get(place).map(|said| said.text.as_str());
            if let Some(now) = now.filter(|now| text_at(body, span).as_deref() != Some(now)) {
                patch.replace(span, |out| write::string(out, now));
            }
        }
        for (span, empty) in self.blanks {
            patch.replace(span, |out| out.extend_from_slice(empty.as_bytes()));
        }
        (!patch.is_empty()).then(|| patch.applied(body, Default::default()))
    }
}

/// Where texts stand in a list that has none twice.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Said, usize>);

impl Known {
    pub(super) fn of(list: &[Said]) -> Known {
        Known(list.iter().cloned().zip(0..).collect())
    }

    /// The place of `said` in `list`, at whose end it is put when it is new.
    pub(super) fn place(&mut self, said: Said, list: &mut Vec<Said>) -> usize {
        if let Some(place) = self.0.get(&said) {
            return *place;
        }
        let place = list.len();
        list.push(said.clone());
        self.0.insert(said, place);
        place
    }
}
