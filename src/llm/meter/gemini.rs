use super::Metered;
use super::tally::Tally;
use crate::base::Tokens;
use crate::llm::Usage;
use crate::wire::json::{Container, Scalar, Visitor};
use arrayvec::ArrayVec;

/// Reads answers of Gemini's `generateContent` and the chunks of its streams (Gemini API reference,
/// "GenerateContentResponse", "UsageMetadata").
///
/// Usage stands on each chunk and is cumulative. What tools brought in is input beside the prompt's, thoughts are output
/// beside the candidates'; cached content is a part of the prompt. What of both was audio is told by modality. Some hosts
/// write the names of members as protobuf has them.
#[derive(Debug, Default)]
pub(super) struct Gemini {
    tally: Tally,
    /// The usage object being read.
    report: Report,
    /// Where the arguments being read opened.
    arguments_open: usize,
}

#[derive(Debug, Default)]
struct Report {
    prompt: Option<Tokens>,
    tools: Option<Tokens>,
    cached: Option<Tokens>,
    candidates: Option<Tokens>,
    thoughts: Option<Tokens>,
    audio_prompt: Tokens,
    audio_candidates: Tokens,
    /// The entry of a list by modality that is being read.
    modality: Modality,
}

#[derive(Debug, Default)]
struct Modality {
    name: ArrayVec<u8, { AUDIO.len() + 1 }>,
    tokens: Tokens,
}

const AUDIO: &[u8] = b"AUDIO";

impl Report {
    /// The same meaning for all providers, see [`Usage`]; `None` where nothing is told.
    fn normalised(&self) -> Option<Usage> {
        let Report { prompt, tools, cached, candidates, thoughts, audio_prompt, audio_candidates, .. } =
            *self;
        prompt.or(candidates).or(thoughts)?;
        let told = Usage {
            input: prompt.unwrap_or_default().saturating_add(tools.unwrap_or_default()),
            cached_input: cached.unwrap_or_default(),
            audio_input: audio_prompt,
            output: candidates.unwrap_or_default().saturating_add(thoughts.unwrap_or_default()),
            reasoning: thoughts.unwrap_or_default(),
            audio_output: audio_candidates,
            ..Usage::none()
        };
        Some(told.within_input())
    }
}

impl Modality {
    fn audio(&self) -> Tokens {
        if self.name.as_slice() == AUDIO { self.tokens } else { 0 }
    }
}

impl Metered for Gemini {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin_document(&mut self) {
        self.report = Report::default();
        self.tally.forget_open_model();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    Model,
    Error,
    Candidates,
    Candidate,
    FinishReason,
    /// Why there is no candidate.
    Feedback,
    Content,
    Parts,
    /// A part, or a call or code in it.
    Part,
    /// Generated text.
    Output,
    /// The arguments of a call, as JSON.
    Arguments,
    Usage,
    PromptTokens,
    ToolTokens,
    CachedTokens,
    CandidatesTokens,
    ThoughtsTokens,
    /// Tokens by modality.
    PromptDetails,
    CandidatesDetails,
    PromptDetail,
    CandidatesDetail,
    ModalityName,
    ModalityTokens,
    Other,
}

impl Visitor for Gemini {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"candidates") => Place::Candidates,
            (Place::Top, b"usageMetadata" | b"usage_metadata") => Place::Usage,
            (Place::Top, b"modelVersion" | b"model_version") => Place::Model,
            (Place::Top, b"promptFeedback" | b"prompt_feedback") => Place::Feedback,
            (Place::Top, b"error") => Place::Error,

            (Place::Candidate, b"content") => Place::Content,
            (Place::Candidate, b"finishReason" | b"finish_reason") => Place::FinishReason,
            (Place::Feedback, b"blockReason" | b"block_reason") => Place::FinishReason,
            (Place::Content, b"parts") => Place::Parts,
            (Place::Part, b"text" | b"name" | b"code") => Place::Output,
            (Place::Part, b"functionCall" | b"function_call" | b"executableCode" | b"executable_code") => {
                Place::Part
            }
            (Place::Part, b"args") => Place::Arguments,

            (Place::Usage, b"promptTokenCount" | b"prompt_token_count") => Place::PromptTokens,
            (Place::Usage, b"toolUsePromptTokenCount" | b"tool_use_prompt_token_count") => Place::ToolTokens,
            (Place::Usage, b"cachedContentTokenCount" | b"cached_content_token_count") => Place::CachedTokens,
            (Place::Usage, b"candidatesTokenCount" | b"candidates_token_count") => Place::CandidatesTokens,
            (Place::Usage, b"thoughtsTokenCount" | b"thoughts_token_count") => Place::ThoughtsTokens,
            (Place::Usage, b"promptTokensDetails" | b"promptTokenDetails" | b"prompt_tokens_details") => {
                Place::PromptDetails
            }
            (Place::Usage, b"candidatesTokensDetails" | b"candidates_tokens_details") => {
                Place::CandidatesDetails
            }
            (Place::PromptDetail | Place::CandidatesDetail, b"modality") => Place::ModalityName,
            (Place::PromptDetail | Place::CandidatesDetail, b"tokenCount" | b"token_count") => {
                Place::ModalityTokens
            }
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::Candidates => Place::Candidate,
            Place::Parts => Place::Part,
            Place::PromptDetails => Place::PromptDetail,
            Place::CandidatesDetails => Place::CandidatesDetail,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, _container: Container, at: usize) {
        match place {
            Place::Usage => self.report = Report::default(),
            Place::Arguments => self.arguments_open = at,
            Place::Error => self.tally.failed = true,
            Place::PromptDetail | Place::CandidatesDetail => self.report.modality = Modality::default(),
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, empty: bool) {
        match (place, container) {
            (Place::Usage, Container::Object) => {
                self.tally.usage = self.report.normalised().or(self.tally.usage);
            }
            (Place::PromptDetail, _) => {
                self.report.audio_prompt =
                    self.report.audio_prompt.saturating_add(self.report.modality.audio())
            }
            (Place::CandidatesDetail, _) => {
                self.report.audio_candidates =
                    self.report.audio_candidates.saturating_add(self.report.modality.audio())
            }
            (Place::Arguments, _) if !empty => {
                self.tally.output_bytes += (end - self.arguments_open) as u64;
            }
            _ => {}
        }
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Output => self.tally.output_bytes += part.len() as u64,
            Place::Model => self.tally.model_part(part),
            Place::ModalityName => {
                let name = &mut self.report.modality.name;
                name.extend(part.iter().copied().take(name.remaining_capacity()));
            }
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        match place {
            Place::Model => self.tally.model_end(),
            Place::FinishReason => self.tally.ended = true,
            Place::Error => self.tally.failed = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        let Scalar::Integer(tokens) = scalar else { return };
        let report = &mut self.report;
        let slot = match place {
            Place::PromptTokens => &mut report.prompt,
            Place::ToolTokens => &mut report.tools,
            Place::CachedTokens => &mut report.cached,
            Place::CandidatesTokens => &mut report.candidates,
            Place::ThoughtsTokens => &mut report.thoughts,
            Place::ModalityTokens => return report.modality.tokens = tokens,
            _ => return,
        };
        *slot = Some(tokens);
    }
}
