use crate::llm::Usage;
use arrayvec::ArrayVec;

/// The longest name of a model that is kept.
const MODEL_BYTES_MAX: usize = 128;

/// What was read out of an answer so far, whatever its format.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The last report, normalised.
    pub(super) usage: Option<Usage>,
    /// Decoded bytes of generated text.
    pub(super) output_bytes: u64,
    /// Events with data.
    pub(super) events: u64,
    /// Documents that were not JSON.
    pub(super) malformed: u64,
    /// The provider told an error.
    pub(super) failed: bool,
    /// The answer ended as its format says.
    pub(super) ended: bool,
    model: ArrayVec<u8, MODEL_BYTES_MAX>,
    model_state: ModelState,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum ModelState {
    /// Not told, or its string not at its end.
    #[default]
    Open,
    /// The string at hand is too long to keep.
    TooLong,
    Known,
}

impl Tally {
    /// The first model that was named.
    pub(super) fn model(&self) -> Option<&str> {
        let known = self.model_state == ModelState::Known;
        known.then(|| std::str::from_utf8(&self.model).ok()).flatten()
    }

    /// A part of the model's name.
    pub(super) fn model_part(&mut self, part: &[u8]) {
        if self.model_state == ModelState::Open && self.model.try_extend_from_slice(part).is_err() {
            self.model_state = ModelState::TooLong;
        }
    }

    /// The model's name has ended.
    pub(super) fn model_end(&mut self) {
        match self.model_state {
            ModelState::Open if !self.model.is_empty() => self.model_state = ModelState::Known,
            ModelState::Open | ModelState::TooLong => self.forget_open_model(),
            ModelState::Known => {}
        }
    }

    /// Drops a name that did not end.
    pub(super) fn forget_open_model(&mut self) {
        if self.model_state != ModelState::Known {
            self.model.clear();
            self.model_state = ModelState::Open;
        }
    }
}
