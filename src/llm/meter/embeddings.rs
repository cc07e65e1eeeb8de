use super::Metered;
use super::tally::Tally;
use crate::base::Tokens;
use crate::llm::Usage;
use crate::wire::json::{Container, Scalar, Visitor};

/// Reads embeddings (OpenAI API reference, "Create embeddings"). Some compatible hosts tell the total alone (Voyage AI),
/// which is the input: nothing is generated. Reads those of Vertex AI's `:predict` too, where each vector has its count
/// ("Text embeddings API", `statistics.token_count`), and Titan's (Amazon Bedrock, "Amazon Titan Embeddings G1 - Text").
#[derive(Debug, Default)]
pub(super) struct Embeddings {
    tally: Tally,
    prompt: Option<Tokens>,
    total: Option<Tokens>,
    /// The tokens of the texts whose counts were read.
    texts: Tokens,
}

impl Metered for Embeddings {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin_document(&mut self) {
        (self.prompt, self.total, self.texts) = (None, None, 0);
        self.tally.forget_open_model();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    Model,
    Error,
    Usage,
    PromptTokens,
    TotalTokens,
    /// `predictions` of Vertex AI, each of them, and the objects in them that lead to its count.
    Predictions,
    Prediction,
    /// The tokens of one text of several.
    TokenCount,
    /// The tokens of all input.
    InputTokens,
    Other,
}

impl Visitor for Embeddings {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"model") => Place::Model,
            (Place::Top, b"error") => Place::Error,
            (Place::Top, b"usage") => Place::Usage,
            (Place::Top, b"predictions") => Place::Predictions,
            (Place::Prediction, b"embeddings" | b"statistics") => Place::Prediction,
            (Place::Prediction, b"token_count") => Place::TokenCount,
            (Place::Top, b"inputTextTokenCount") => Place::InputTokens,
            (Place::Usage, b"prompt_tokens") => Place::PromptTokens,
            (Place::Usage, b"total_tokens") => Place::TotalTokens,
            _ => Place::Other,
        }
    }

    #[inline]
    fn element(&mut self, parent: Place) -> Place {
        if parent == Place::Predictions { Place::Prediction } else { Place::Other }
    }

    fn open(&mut self, place: Place, _container: Container, _at: usize) {
        match place {
            Place::Usage => (self.prompt, self.total) = (None, None),
            Place::Error => self.tally.failed = true,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, _end: usize, _empty: bool) {
        if (place, container) == (Place::Usage, Container::Object)
            && let Some(input) = self.prompt.or(self.total)
        {
            self.tally.usage = Some(Usage { input, ..Usage::default() });
        }
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        if place == Place::Model {
            self.tally.model_part(part);
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        match place {
            Place::Model => self.tally.model_end(),
            Place::Error => self.tally.failed = true,
            _ => {}
        }
    }

    #[inline]
    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        match (place, scalar) {
            (Place::PromptTokens, Scalar::Integer(tokens)) => self.prompt = Some(tokens),
            (Place::TotalTokens, Scalar::Integer(tokens)) => self.total = Some(tokens),
            (Place::TokenCount, Scalar::Integer(tokens)) => {
                self.texts = self.texts.saturating_add(tokens);
                self.tally.usage = Some(Usage { input: self.texts, ..Usage::default() });
            }
            (Place::InputTokens, Scalar::Integer(input)) => {
                self.tally.usage = Some(Usage { input, ..Usage::default() });
            }
            _ => {}
        }
    }
}
