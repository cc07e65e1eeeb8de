use super::part::Part;
use crate::llm::Usage;
use crate::llm::translate::{Lost, ReplyTerms};

/// A whole answer.
#[derive(Default)]
pub(crate) struct Reply<'t, 'b> {
    /// Empty where the format has none.
    pub(crate) id: &'b str,
    /// Empty when the provider does not say.
    pub(crate) model: &'b str,
    pub(crate) parts: Vec<Part<'t, 'b>>,
    pub(crate) finish: Finish,
    /// The stop sequence that ended it.
    pub(crate) stop_sequence: Option<&'b str>,
    /// As the meter reads it; readers leave it to that.
    pub(crate) usage: Usage,
    /// What is lost already: what no other format has.
    pub(crate) lost: Lost,
}

impl Reply<'_, '_> {
    /// The model that answered, or else the one that was asked.
    pub(crate) fn model_or<'m>(&'m self, terms: &ReplyTerms<'m>) -> &'m str {
        if self.model.is_empty() { terms.asked_model.unwrap_or_default() } else { self.model }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Finish {
    /// All was said, or nobody says why.
    #[default]
    Stop,
    /// At one of the client's stop sequences.
    StopSequence,
    /// At the most tokens that were allowed, or that fit.
    Length,
    /// For the client to run tools.
    Calls,
    /// The model or a filter refused.
    Refused,
    /// The provider wants to be asked to go on.
    Paused,
}

impl Finish {
    /// The reason in the light of what the answer holds: some providers say "stop" after calls of tools, and OpenAI
    /// itself after a refusal.
    pub(crate) fn given(self, called: bool, refused: bool) -> Finish {
        match self {
            Finish::Stop if called => Finish::Calls,
            Finish::Stop if refused => Finish::Refused,
            told => told,
        }
    }
}
