//! What may not pass in texts: patterns that are masked, or for which a request or an answer is rejected.
//!
//! Texts are what a model reads or writes: strings of the conversation, of tools and their calls, unescaped. Names, roles, ids,
//! addresses of media and media themselves are not among them, nor are names of members. Each text is judged alone; in a
//! stream the pieces of one text are judged as one.
//!
//! * [`Guard::request`] and [`Guard::answer`] are for bodies that are whole, [`Masker`] is for streams.
//! * [`Builtin`] are patterns of ours; [`Pattern::custom`] compiles an operator's.
//! * [`Service`] is somebody else who judges: what is asked and what the answer says. [`Texts`] are those of a body that is
//!   whole, [`Window`] is for streams. Who asks, over a connection, stands above this room.

mod answer;
mod builtin;
mod open;
mod request;
mod service;
mod stream;
#[cfg(test)]
mod tests;
mod texts;
mod window;

pub use builtin::Builtin;
pub use service::{Garbage, Phase, QUESTION_BYTES_MAX, Service, TEXTS_MAX, Verdict};
pub use stream::{Masker, WINDOW_BYTES};
pub use texts::{Role, Said, Texts};
pub use window::{CONTEXT_BYTES, JUDGED_BYTES, Window};

use super::Format;
use super::policy::Patch;
use crate::base::Span;
use crate::wire::json::{unescape, write};
use open::Open;
use regex::{Regex, RegexBuilder};
use std::ops::Range;
use std::sync::Arc;

/// The guards of a rule. Patterns are looked for first, then services are asked.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// For what clients send.
    pub request: Arc<Guard>,
    /// Who is asked about that, in order: indices of a list that the configuration has.
    pub request_services: Arc<[u32]>,
    /// For what providers answer.
    pub response: Arc<Guard>,
    /// Who is asked about that, likewise.
    pub response_services: Arc<[u32]>,
    /// Whether answers that come as streams are let through unguarded.
    pub streams_pass: bool,
}

impl Guards {
    /// Whether answers are guarded.
    pub fn guard_answers(&self) -> bool {
        !self.response.is_empty() || !self.response_services.is_empty()
    }

    /// Whether an answer may be rejected. Services always can.
    pub fn reject_answers(&self) -> bool {
        self.response.rejects() || !self.response_services.is_empty()
    }
}

/// Patterns in the order in which they are looked for.
#[derive(Debug, Default)]
pub struct Guard {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    action: Action,
}

/// What is done where a pattern matches.
#[derive(Clone, Debug)]
pub enum Action {
    /// The match is replaced by the pattern's name.
    Mask,
    /// The request, or the answer, is rejected.
    Reject(Arc<Rejection>),
}

/// What a client is told whose request, or whose answer, is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which guard rejects it.
    pub by: By,
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// In words.
    pub message: String,
}

/// A guard among those of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// What it looks at.
    pub phase: Phase,
    /// Its place in the policy's list, from 0.
    pub number: usize,
    /// What kind of guard it is, as metrics say.
    pub kind: &'static str,
}

/// Why an answer may not pass.
#[derive(Debug)]
pub enum Unfit {
    /// It is rejected.
    Rejected(Arc<Rejection>),
    /// It is no JSON.
    NotJson,
}

/// The most bytes that a compiled pattern takes, for each of its two forms.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;

/// An expression, and what takes the place of its matches.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// Tells where a text may end within a match.
    open: Open,
    check: Option<Check>,
    mask: String,
}

/// How many bytes of a match are meant, from its beginning; `None` when it is none after all.
type Check = fn(&str) -> Option<usize>;

impl Pattern {
    /// An operator's pattern in the syntax of the `regex` crate, which takes time linear in the text. Matches become `<name>`.
    ///
    /// # Errors
    /// Why it cannot be used, to be put after "the pattern": no expression, too large, matches the empty text.
    pub fn custom(pattern: &str, name: &str) -> Result<Pattern, String> {
        Pattern::compile(pattern, name, None)
    }

    fn compile(pattern: &str, name: &str, check: Option<Check>) -> Result<Pattern, String> {
        let said = |error: &dyn std::fmt::Display| {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("is not a regular expression that can be used: {why}")
        };
        let mut builder = RegexBuilder::new(pattern);
        let builder = builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let regex = builder.build().map_err(|error| said(&error))?;
        if regex.is_match("") {
            return Err("matches the empty text, which is everywhere".to_owned());
        }
        let open = Open::new(pattern).map_err(|error| said(&error))?;
        Ok(Pattern { regex, open, check, mask: format!("<{name}>") })
    }

    /// The first match that begins at `at` or later.
    fn next(&self, text: &str, mut at: usize) -> Option<Range<usize>> {
        while at <= text.len() {
            let found = self.regex.find_at(text, at)?;
            let meant = match self.check {
                Some(check) => check(found.as_str()),
                None => Some(found.len()),
            };
            match meant.filter(|meant| *meant > 0) {
                Some(meant) => return Some(found.start()..found.start() + meant),
                None => at = after(text, found.start()),
            }
        }
        None
    }
}

/// The place of the character behind the one at `at`.
fn after(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(text.len() + 1, |c| at + c.len_utf8())
}

/// Where one is in a text that may be an object of JSON itself: arguments of a call, or an answer that was asked for so.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    begun: bool,
    is_object: bool,
    quoted: bool,
    escaped: bool,
}

impl Nesting {
    fn pass(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' if !self.begun => {}
                _ if !self.begun => (self.begun, self.is_object) = (true, byte == b'{'),
                _ if !self.is_object => return,
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.quoted,
                b'"' => self.quoted = !self.quoted,
                _ => {}
            }
        }
    }
}

/// What was found in a text.
#[derive(Debug, Default)]
struct Judged {
    /// What is masked, in order, and by which rule.
    masks: Vec<(Range<usize>, usize)>,
    /// Where a match begins for which all is rejected, the first one.
    rejected: Option<(usize, Arc<Rejection>)>,
}

impl Guard {
    /// Of lists of patterns with what is done for them, in order.
    pub fn new(lists: impl IntoIterator<Item = (Vec<Pattern>, Action)>) -> Guard {
        let rules = lists.into_iter().flat_map(|(patterns, action)| {
            patterns.into_iter().map(move |pattern| Rule { pattern, action: action.clone() })
        });
        Guard { rules: rules.collect() }
    }

    /// Whether it guards nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many patterns it has.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it can reject.
    pub fn rejects(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.action, Action::Reject(_)))
    }

    /// Looks at the matches that begin in `within`; what stands before it is context.
    ///
    /// Where masks overlap the one that begins first counts, of those the one that is listed first. A match that rejects
    /// does so unless a pattern listed before it masks all of it.
    fn judge(&self, text: &str, within: Range<usize>) -> Judged {
        let mut judged = Judged::default();
        let masks = self.rules.iter().enumerate().filter(|(_, rule)| matches!(rule.action, Action::Mask));
        let mut next: Vec<(usize, Range<usize>)> =
            masks.filter_map(|(place, rule)| Some((place, rule.pattern.next(text, within.start)?))).collect();
        while let Some((place, found)) = next
            .iter()
            .min_by_key(|(place, found)| (found.start, *place))
            .filter(|(_, found)| found.start < within.end)
            .cloned()
        {
            let end = found.end;
            judged.masks.push((found, place));
            next.retain_mut(|(place, found)| {
                if found.start >= end {
                    return true;
                }
                let again = self.rules.get(*place).and_then(|rule| rule.pattern.next(text, end));
                again.map(|again| *found = again).is_some()
            });
        }
        for (place, rule) in self.rules.iter().enumerate() {
            let Action::Reject(rejection) = &rule.action else { continue };
            let mut at = within.start;
            while let Some(found) = rule.pattern.next(text, at).filter(|found| found.start < within.end) {
                // They are in order and do not overlap, so that only the last one that begins before can hold it.
                let before = judged.masks.partition_point(|(mask, _)| mask.start <= found.start);
                let mask = before.checked_sub(1).and_then(|last| judged.masks.get(last));
                let is_masked = mask.is_some_and(|(mask, by)| *by < place && found.end <= mask.end);
                let is_first = judged.rejected.as_ref().is_none_or(|(first, _)| found.start < *first);
                if !is_masked && is_first {
                    judged.rejected = Some((found.start, rejection.clone()));
                }
                if !is_masked {
                    break;
                }
                at = found.end;
            }
        }
        judged
    }

    /// What takes the place of a match.
    fn mask(&self, place: usize) -> &str {
        self.rules.get(place).map_or("", |rule| &rule.pattern.mask)
    }

    /// Appends `range` of `text` with what is masked; whether anything is. A mask stands where its match begins; in an object of
    /// JSON, where a number was, it has quotes.
    fn render(
        &self,
        text: &str,
        range: Range<usize>,
        judged: &Judged,
        nesting: &mut Nesting,
        out: &mut String,
    ) -> bool {
        let (mut at, mut changed) = (range.start, false);
        let mut pass = |part: &str, out: &mut String| {
            nesting.pass(part);
            out.push_str(part);
            nesting.is_object && !nesting.quoted
        };
        let in_range = |mask: &Range<usize>| mask.start < range.end && mask.end > range.start;
        for (mask, place) in judged.masks.iter().filter(|(mask, _)| in_range(mask)) {
            let bare = pass(text.get(at..mask.start.max(at)).unwrap_or_default(), out);
            if mask.start >= range.start {
                let quote = if bare { "\"" } else { "" };
                out.extend([quote, self.mask(*place), quote]);
            }
            at = mask.end.min(range.end);
            changed = true;
        }
        pass(text.get(at..range.end).unwrap_or_default(), out);
        changed
    }

    /// Guards a request in the client's `format`: the body with what is masked, `None` when it stays as it is.
    ///
    /// # Errors
    /// It is rejected.
    pub fn request(&self, format: Format, body: &[u8]) -> Result<Option<Vec<u8>>, Arc<Rejection>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut patch = Patch::default();
        for (span, _) in request::texts(format, body) {
            self.whole_text(body, span, &mut patch)?;
        }
        Ok((!patch.is_empty()).then(|| patch.applied(body, Default::default())))
    }

    /// Guards a whole answer in the client's `format`, as [`request`](Guard::request) does. Probabilities of tokens, which
    /// spell the text out again, are taken out.
    ///
    /// # Errors
    /// It is rejected, or no JSON, of which nobody knows what it says.
    pub fn answer(&self, format: Format, body: &[u8]) -> Result<Option<Vec<u8>>, Unfit> {
        if self.is_empty() {
            return Ok(None);
        }
        let found = answer::find(format, body).ok_or(Unfit::NotJson)?;
        let mut patch = Patch::default();
        for text in &found.texts {
            self.whole_text(body, text.span, &mut patch).map_err(Unfit::Rejected)?;
        }
        for (span, empty) in found.blanks {
            patch.replace(span, |out| out.extend_from_slice(empty.as_bytes()));
        }
        Ok((!patch.is_empty()).then(|| patch.applied(body, Default::default())))
    }

    fn whole_text(&self, body: &[u8], span: Span, patch: &mut Patch) -> Result<(), Arc<Rejection>> {
        let Some(text) = text_at(body, span) else { return Ok(()) };
        let masked = self.masked(&text)?;
        if let Some(masked) = masked {
            patch.replace(span, |out| write::string(out, &masked));
        }
        Ok(())
    }

    /// A text that is whole, with what is masked; `None` when nothing is.
    fn masked(&self, text: &str) -> Result<Option<String>, Arc<Rejection>> {
        let judged = self.judge(text, 0..text.len());
        if let Some((_, rejection)) = judged.rejected {
            return Err(rejection);
        }
        let mut masked = String::new();
        Ok(self.render(text, 0..text.len(), &judged, &mut Nesting::default(), &mut masked).then_some(masked))
    }
}

/// The text of the value at `span`: a string unescaped, or a number as it is written.
fn text_at(body: &[u8], span: Span) -> Option<std::borrow::Cow<'_, str>> {
    let value = body.get(span.range())?;
    match value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(inside) => unescape::text(inside),
        None => std::str::from_utf8(value).ok().map(Into::into),
    }
}
