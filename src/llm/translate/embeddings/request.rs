//! What is asked for, whoever asks.

use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// The most texts of one request (OpenAI API reference, "Create embeddings", `input`); each provider has its own bound too.
pub(super) const TEXTS_MAX: usize = 2048;

/// Texts, of which each is to be a vector.
pub(super) struct Request<'t, 'b> {
    /// At least one, and [`TEXTS_MAX`] at most.
    pub(super) texts: Vec<Text<'t, 'b>>,
    /// Where the client has them, for what is said to be wrong with them.
    pub(super) param: &'static str,
    /// How long the vectors shall be.
    pub(super) dimensions: Option<u64>,
    pub(super) truncation: Option<Truncation>,
    /// Who asks.
    pub(super) user: Option<&'b str>,
    pub(super) lost: Lost,
}

/// One text.
#[derive(Clone, Copy)]
pub(super) struct Text<'t, 'b> {
    pub(super) content: Content<'t, 'b>,
    pub(super) task: Option<Task>,
    /// Of the document that it is from; empty when there is none.
    pub(super) title: &'b str,
}

#[derive(Clone, Copy)]
pub(super) enum Content<'t, 'b> {
    Whole(&'b str),
    /// Parts with a `text` each.
    Parts(Value<'t, 'b>),
}

impl<'t, 'b> Text<'t, 'b> {
    pub(super) fn whole(text: &'b str, task: Option<Task>) -> Text<'t, 'b> {
        Text { content: Content::Whole(text), task, title: "" }
    }

    /// The pieces that it is made of, one behind the other.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &'b str> + use<'t, 'b> {
        let (whole, parts) = match self.content {
            Content::Whole(text) => (Some(text), None),
            Content::Parts(parts) => (None, Some(parts)),
        };
        let parts = parts.into_iter().flat_map(|parts| parts.elements().map(|part| part.text("text")));
        whole.into_iter().chain(parts)
    }
}

/// What vectors are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Query,
    Document,
    Classification,
    Clustering,
    Similarity,
    Question,
    FactCheck,
    CodeQuery,
}

impl Task {
    /// Google's words (Gemini API reference, `TaskType`).
    const GOOGLES: [(&'static str, Task); 8] = [
        ("RETRIEVAL_QUERY", Task::Query),
        ("RETRIEVAL_DOCUMENT", Task::Document),
        ("CLASSIFICATION", Task::Classification),
        ("CLUSTERING", Task::Clustering),
        ("SEMANTIC_SIMILARITY", Task::Similarity),
        ("QUESTION_ANSWERING", Task::Question),
        ("FACT_VERIFICATION", Task::FactCheck),
        ("CODE_RETRIEVAL_QUERY", Task::CodeQuery),
    ];

    /// Those of `input_type`, first Cohere's (API reference, "Embed"), then those of NVIDIA and of Voyage AI.
    const COHERES: [(&'static str, Task); 7] = [
        ("search_query", Task::Query),
        ("search_document", Task::Document),
        ("classification", Task::Classification),
        ("clustering", Task::Clustering),
        ("query", Task::Query),
        ("passage", Task::Document),
        ("document", Task::Document),
    ];

    /// The one that Google calls so; `None` also of the word for none.
    pub(super) fn of_google(word: &str) -> Option<Task> {
        Task::GOOGLES.iter().find(|(known, _)| *known == word).map(|(_, task)| *task)
    }

    pub(super) fn google(self) -> &'static str {
        Task::GOOGLES.iter().find(|(_, task)| *task == self).map_or("", |(word, _)| *word)
    }

    /// The one that is called so in `input_type`.
    pub(super) fn of_input_type(word: &str) -> Option<Task> {
        Task::COHERES.iter().find(|(known, _)| *known == word).map(|(_, task)| *task)
    }

    /// Cohere's word, if it has one.
    pub(super) fn cohere(self) -> Option<&'static str> {
        Task::COHERES.iter().find(|(_, task)| *task == self).map(|(word, _)| *word)
    }
}

/// What becomes of a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truncation {
    /// It is refused.
    None,
    /// It loses its beginning.
    Start,
    /// It loses its end.
    End,
}

impl Truncation {
    pub(super) const WORDS: [(&'static str, Truncation); 3] =
        [("NONE", Truncation::None), ("START", Truncation::Start), ("END", Truncation::End)];

    pub(super) fn word(self) -> &'static str {
        Truncation::WORDS.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| *word)
    }
}

impl Request<'_, '_> {
    /// Refuses more texts than a provider takes at once.
    pub(super) fn at_most(&self, most: usize) -> Result<(), BadRequest> {
        let count = self.texts.len();
        match (count <= most, most) {
            (true, _) => Ok(()),
            (false, 1) => Err(BadRequest::new(
                self.param,
                format!(
                    "this model embeds one text at a time, not {count}: send each in a request of its own"
                ),
            )),
            (false, _) => Err(BadRequest::new(
                self.param,
                format!(
                    "must hold at most {most} texts for this provider, not {count}: send several requests"
                ),
            )),
        }
    }

    /// The first text, which is the only one behind `at_most(1)`.
    pub(super) fn only(&self) -> Result<Text<'_, '_>, BadRequest> {
        self.at_most(1)?;
        self.texts.first().copied().ok_or_else(|| BadRequest::new(self.param, "must not be empty"))
    }

    /// The task, if it is the same for all texts.
    pub(super) fn task(&self) -> Option<Task> {
        let first = self.texts.first()?.task;
        first.filter(|_| self.texts.iter().all(|text| text.task == first))
    }

    /// Notes what a provider takes no word of.
    pub(super) fn lose_user(&self, lost: &mut Lost) {
        if self.user.is_some() {
            lost.add("user");
        }
    }

    pub(super) fn lose_titles(&self, lost: &mut Lost) {
        if self.texts.iter().any(|text| !text.title.is_empty()) {
            lost.add("title");
        }
    }

    pub(super) fn lose_tasks(&self, lost: &mut Lost) {
        if self.texts.iter().any(|text| text.task.is_some()) {
            lost.add("task_type");
        }
    }

    /// Notes a wish to shorten texts where the provider refuses those that are too long.
    pub(super) fn lose_truncation(&self, lost: &mut Lost) {
        if self.truncation.is_some_and(|truncation| truncation != Truncation::None) {
            lost.add("truncation");
        }
    }
}
