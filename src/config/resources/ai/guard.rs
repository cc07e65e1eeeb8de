//! `promptGuard`: patterns for texts of requests and answers, compiled where they are read, and services that are asked.

use super::service::{self, Service};
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::llm::guard::{Action, Builtin, By, Guard, Pattern, Phase, Rejection};
use std::sync::Arc;

// The first is kgateway's, the others are ours.
const GUARDS_MAX: usize = 8;
const PATTERNS_MAX: usize = 64;
const PATTERN_CHARS_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 64;

/// What takes the place of a match of a pattern without a name.
const NAMELESS: &str = "MASKED";

/// Both resources' spellings.
const BUILTINS: [(&str, Builtin); 9] = [
    ("SSN", Builtin::Ssn),
    ("CREDIT_CARD", Builtin::CreditCard),
    ("PHONE_NUMBER", Builtin::PhoneNumber),
    ("EMAIL", Builtin::Email),
    ("Ssn", Builtin::Ssn),
    ("CreditCard", Builtin::CreditCard),
    ("PhoneNumber", Builtin::PhoneNumber),
    ("Email", Builtin::Email),
    ("CaSin", Builtin::CaSin),
];

/// What `promptGuard` says.
pub(crate) struct PromptGuard {
    pub(crate) request: Side,
    pub(crate) response: Side,
    pub(crate) streams_pass: bool,
}

/// What guards requests, or answers.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) patterns: Arc<Guard>,
    pub(crate) services: Vec<Service>,
}

/// Reads `promptGuard`.
pub(super) fn read(field: &Cursor<'_>) -> Option<Located<PromptGuard>> {
    let at = field.at();
    field.fields(|fields| {
        let [request, response] = [Phase::Request, Phase::Response]
            .map(|phase| fields.get(phase.name()).map(|list| side(&list, phase)));
        let streaming =
            fields.get("streaming").map(|field| field.one_of(&[("Enabled", false), ("Disabled", true)]));
        if request.is_none() && response.is_none() {
            fields.faults().fault(at, "the guard guards nothing: write request or response");
        }
        let streams_pass = streaming.flatten().is_some_and(|streaming| streaming.value);
        let (request, response) = (request.unwrap_or_default(), response.unwrap_or_default());
        Some(Located { value: PromptGuard { request, response, streams_pass }, at })
    })
}

/// A list of guards, or one, as it was written before there were lists.
fn side(field: &Cursor<'_>, phase: Phase) -> Side {
    let mut number = 0;
    let mut services = Vec::new();
    let mut one = |item: &Cursor<'_>| {
        number += 1;
        item.fields(|fields| entry(fields, (phase, number - 1), &mut services))
    };
    let lists = match field.is_list() {
        true => field.list(GUARDS_MAX, |item| one(&item)),
        false => one(field).into_iter().collect(),
    };
    Side { patterns: Arc::new(Guard::new(lists)), services }
}

/// Patterns, and what is done where one matches; none where the entry has services alone, which come to the others.
fn entry(
    fields: &mut Fields<'_>,
    (phase, number): (Phase, usize),
    services: &mut Vec<Service>,
) -> Option<(Vec<Pattern>, Action)> {
    fields.unsupported(&["scope"], "remove it: all texts of the conversation and of its tools are looked at");
    let custom = ["customResponse", "response"].map(|name| fields.get(name).map(|field| field.fields(words)));
    let custom = custom.into_iter().flatten().next();
    let regex = if service::is_there(fields) { fields.get("regex") } else { fields.need("regex") };
    services.extend(service::read(fields, phase, number, custom.as_ref().and_then(Option::as_ref)));
    let (patterns, rejects) = regex?.fields(|fields| Some(regex_of(fields)))?;
    let custom = match custom {
        Some(custom) => custom?,
        None => Words::usual(),
    };
    let by = By { phase, number, kind: "regex" };
    let action = if rejects { Action::Reject(custom.said_by(by)) } else { Action::Mask };
    Some((patterns, action))
}

/// What a client is told whose request is rejected.
#[derive(Clone)]
pub(super) struct Words {
    status: u16,
    message: String,
}

impl Words {
    /// Unless the guard says otherwise (kgateway).
    pub(super) fn usual() -> Words {
        Words { status: 403, message: "The request was rejected due to inappropriate content".to_owned() }
    }

    pub(super) fn said_by(self, by: By) -> Arc<Rejection> {
        Arc::new(Rejection { by, status: self.status, message: self.message })
    }
}

fn words(fields: &mut Fields<'_>) -> Option<Words> {
    let message = fields.get("message").map(|field| field.word());
    let status = fields.get("statusCode").map(|field| field.integer(200..=599));
    let mut words = Words::usual();
    if let Some(message) = message {
        words.message = message?.value;
    }
    if let Some(status) = status {
        words.status = u16::try_from(status?.value).ok()?;
    }
    Some(words)
}

fn regex_of(fields: &mut Fields<'_>) -> (Vec<Pattern>, bool) {
    const ACTIONS: [(&str, bool); 4] = [("MASK", false), ("REJECT", true), ("Mask", false), ("Reject", true)];
    let mut patterns = fields.list("builtins", PATTERNS_MAX, |item| {
        let builtin = item.one_of(&BUILTINS)?.value.pattern();
        builtin.map_err(|why| item.fault(why)).ok()
    });
    patterns.extend(fields.list("matches", PATTERNS_MAX, |item| pattern(&item)));
    let action = fields.get("action").and_then(|field| field.one_of(&ACTIONS));
    if ["builtins", "matches"].iter().all(|name| fields.get(name).is_none_or(|list| list.is_empty_list())) {
        fields.faults().fault(fields.at(), "the guard names no pattern: write matches or builtins");
    }
    (patterns, action.is_some_and(|action| action.value))
}

/// An expression, or one with a name.
fn pattern(item: &Cursor<'_>) -> Option<Pattern> {
    if !item.is_map() {
        return compiled(item, NAMELESS);
    }
    item.fields(|fields| {
        let pattern = fields.need("pattern");
        let name = fields.get("name").map(|field| field.parsed(mask_name));
        let name = match name {
            Some(name) => name?.value,
            None => NAMELESS.to_owned(),
        };
        compiled(&pattern?, &name)
    })
}

fn compiled(field: &Cursor<'_>, name: &str) -> Option<Pattern> {
    let pattern = field.word()?.value;
    if pattern.chars().count() > PATTERN_CHARS_MAX {
        field.fault(format!("has more than {PATTERN_CHARS_MAX} characters"));
        return None;
    }
    Pattern::custom(&pattern, name).map_err(|why| field.fault(why)).ok()
}

/// A name is written into texts between `<` and `>`, also into texts that are JSON again.
fn mask_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.');
    match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "must be letters, digits, spaces, \"_\", \"-\" and \".\", at most {NAME_BYTES_MAX} bytes"
        )),
    }
}
