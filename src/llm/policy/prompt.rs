//! Turns that are added to a conversation, each where the client's format has such a turn.

use super::Patch;
use super::layout::{Layout, Member};
use crate::llm::Format;
use crate::llm::translate::emit::Emit;
use crate::wire::json::find::{self, Kind};
use crate::wire::json::{Container, Scalar, write};

/// Turns before and behind those of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Before them, in order.
    pub prepend: Vec<Turn>,
    /// Behind them, in order.
    pub append: Vec<Turn>,
}

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
}

/// Who says something. The last two are turns of the conversation; the first two have a place of their own in most formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator.
    System,
    /// As OpenAI's newer models call it; the same as `System` in other formats.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Its name in OpenAI's formats.
    const fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// Whether it instructs instead of taking part.
    pub const fn instructs(self) -> bool {
        matches!(self, Role::System | Role::Developer)
    }
}

/// What stands between two texts that are joined to one.
const GAP: &str = "\n\n";

impl Prompt {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prepend.is_empty() && self.append.is_empty()
    }

    /// The body with these turns, in the client's `format`; `None` where it has no conversation that they could be put into.
    ///
    /// A conversation of another type than the format's is left alone: its provider refuses it.
    pub(super) fn put_into(&self, format: Format, body: &[u8]) -> Option<Vec<u8>> {
        let names: &[&str] = match format {
            Format::OpenAiChat => &["messages"],
            Format::AnthropicMessages | Format::AnthropicCountTokens => &["messages", "system"],
            Format::OpenAiResponses => &["input", "instructions"],
            Format::GeminiGenerate => &["contents", "systemInstruction", "system_instruction"],
            _ => return None,
        };
        let layout = Layout::of(body, &|name| names.iter().any(|known| known.as_bytes() == name))?;
        let mut placing = Placing { body, layout: &layout, patch: Patch::default() };
        let turns = |turns: &[Turn], wanted: fn(Role) -> bool| -> Vec<Turn> {
            turns.iter().filter(|turn| wanted(turn.role)).cloned().collect()
        };
        let said = |list: &[Turn]| turns(list, |role| !role.instructs());
        let instructed = |list: &[Turn]| turns(list, Role::instructs);
        match format {
            Format::OpenAiChat => placing.list("messages", &self.prepend, &self.append, openai),
            Format::OpenAiResponses => {
                placing.input(&said(&self.prepend), &self.append);
                placing.text("instructions", &instructed(&self.prepend), &[], None);
            }
            Format::GeminiGenerate => {
                placing.list("contents", &said(&self.prepend), &said(&self.append), gemini);
                placing.system_instruction(&instructed(&self.prepend), &instructed(&self.append));
            }
            _ => {
                placing.list("messages", &said(&self.prepend), &said(&self.append), openai);
                let (first, last) = (instructed(&self.prepend), instructed(&self.append));
                placing.text("system", &first, &last, Some(anthropic_block));
            }
        }
        let Placing { patch, .. } = placing;
        (!patch.is_empty()).then(|| patch.applied(body, layout.top))
    }
}

/// Writes a turn as an element of a list.
type Item = fn(&Turn, &mut Emit<'_>);

/// OpenAI's messages and items of input; Anthropic's messages are the same.
fn openai(turn: &Turn, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("role").str(turn.role.name());
        e.key("content").str(&turn.content);
    });
}

fn anthropic_block(turn: &Turn, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("text");
        e.key("text").str(&turn.content);
    });
}

fn gemini(turn: &Turn, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("role").str(if turn.role == Role::Assistant { "model" } else { "user" });
        e.key("parts").array(|e| gemini_part(turn, e));
    });
}

fn gemini_part(turn: &Turn, e: &mut Emit<'_>) {
    e.object(|e| e.key("text").str(&turn.content));
}

fn items(turns: &[Turn], item: Item) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, turn) in turns.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        item(turn, &mut Emit::new(&mut out));
    }
    out
}

/// The texts of turns as one.
fn joined(turns: &[Turn]) -> String {
    let texts: Vec<&str> = turns.iter().map(|turn| turn.content.as_str()).collect();
    texts.join(GAP)
}

/// A body that turns are being put into.
struct Placing<'b> {
    body: &'b [u8],
    layout: &'b Layout,
    patch: Patch,
}

impl Placing<'_> {
    /// Puts turns into a list. Google's parsers take one object for a list of one, so it is made a list.
    fn list(&mut self, name: &str, first: &[Turn], last: &[Turn], item: Item) {
        if let Some(member) = self.layout.last(name) {
            let (start, end) = (member.value.start as usize, member.value.end as usize);
            self.put_around(member.kind, (start, end, member.empty), &items(first, item), &items(last, item));
        }
    }

    /// Puts elements first and last into the array in `start..end`, or around the object there.
    fn put_around(
        &mut self,
        kind: Kind,
        (start, end, empty): (usize, usize, bool),
        first: &[u8],
        last: &[u8],
    ) {
        if first.is_empty() && last.is_empty() {
            return;
        }
        let (open, close, first_at, last_at, empty) = match kind {
            Kind::Container(Container::Array) => ("", "", start + 1, end.saturating_sub(1), empty),
            Kind::Container(Container::Object) => ("[", "]", start, end, false),
            _ => return,
        };
        let comma = |is: bool| if is { "," } else { "" };
        self.patch.insert(first_at, |out| {
            out.extend_from_slice(open.as_bytes());
            out.extend_from_slice(first);
            out.extend_from_slice(comma(!first.is_empty() && !empty).as_bytes());
        });
        self.patch.insert(last_at, |out| {
            let comma = comma(!(last.is_empty() || empty && first.is_empty()));
            out.extend_from_slice(comma.as_bytes());
            out.extend_from_slice(last);
            out.extend_from_slice(close.as_bytes());
        });
    }

    /// `input` of Responses, which may be one text: then it becomes a turn of the user among others.
    fn input(&mut self, first: &[Turn], last: &[Turn]) {
        let (first, last) = (items(first, openai), items(last, openai));
        if first.is_empty() && last.is_empty() {
            return;
        }
        match self.layout.last("input") {
            Some(Member { kind: Kind::String, value, .. }) => {
                let (start, end) = (value.start as usize, value.end as usize);
                let comma = |list: &[u8]| if list.is_empty() { &b""[..] } else { b"," };
                let before = [b"[", &first[..], comma(&first), br#"{"role":"user","content":"#].concat();
                let behind = [b"}", comma(&last), &last[..], b"]"].concat();
                self.patch.insert(start, |out| out.extend_from_slice(&before));
                self.patch.insert(end, |out| out.extend_from_slice(&behind));
            }
            Some(Member { kind: Kind::Scalar(Scalar::Null), value, .. }) => {
                self.patch.replace(*value, |out| list_of(&first, &last, out));
            }
            Some(Member { kind, value, empty, .. }) => {
                let place = (value.start as usize, value.end as usize, *empty);
                self.put_around(*kind, place, &first, &last);
            }
            None => self.patch.member("input", |out| list_of(&first, &last, out)),
        }
    }

    /// A member that is one text, or with `block` a list of blocks.
    fn text(&mut self, name: &str, first: &[Turn], last: &[Turn], block: Option<Item>) {
        if first.is_empty() && last.is_empty() {
            return;
        }
        let whole = [first, last].concat();
        match self.layout.last(name) {
            Some(Member { kind: Kind::String, value, .. }) => {
                let gap = |turns: &[Turn]| if turns.is_empty() { "" } else { GAP };
                let (first, last) = (joined(first) + gap(first), gap(last).to_owned() + &joined(last));
                self.patch.insert(value.start as usize + 1, |out| inside(&first, out));
                self.patch.insert(value.end as usize - 1, |out| inside(&last, out));
            }
            Some(Member { kind: Kind::Scalar(Scalar::Null), value, .. }) => {
                self.patch.replace(*value, |out| write::string(out, &joined(&whole)));
            }
            Some(Member { kind, value, empty, .. }) => {
                if let Some(block) = block.filter(|_| *kind == Kind::Container(Container::Array)) {
                    let place = (value.start as usize, value.end as usize, *empty);
                    self.put_around(*kind, place, &items(first, block), &items(last, block));
                }
            }
            None => self.patch.member(name, |out| write::string(out, &joined(&whole))),
        }
    }

    /// Gemini's `systemInstruction`, in either spelling, whose `parts` are a list or one part.
    fn system_instruction(&mut self, first: &[Turn], last: &[Turn]) {
        if first.is_empty() && last.is_empty() {
            return;
        }
        let (first, last) = (items(first, gemini_part), items(last, gemini_part));
        let layout = self.layout;
        let both = || ["systemInstruction", "system_instruction"].into_iter();
        let is_there = |member: &&Member| member.kind != Kind::Scalar(Scalar::Null);
        let Some(member) = both().find_map(|name| layout.last(name).filter(is_there)) else {
            let parts = |out: &mut Vec<u8>| {
                out.extend_from_slice(br#"{"parts":"#);
                list_of(&first, &last, out);
                out.push(b'}');
            };
            return match both().find_map(|name| layout.last(name)) {
                Some(null) => self.patch.replace(null.value, parts),
                None => self.patch.member("systemInstruction", parts),
            };
        };
        let start = member.value.start as usize;
        let value = member.value.of(self.body);
        match find::value(value, &["parts"]) {
            Some(parts) => {
                let inside = parts.span.of(value);
                let empty =
                    inside.get(1..inside.len() - 1).is_some_and(|inside| inside.trim_ascii().is_empty());
                let place = (start + parts.span.start as usize, start + parts.span.end as usize, empty);
                self.put_around(parts.kind, place, &first, &last);
            }
            None if member.kind == Kind::Container(Container::Object) => {
                self.patch.insert(start + 1, |out| {
                    out.extend_from_slice(br#""parts":"#);
                    list_of(&first, &last, out);
                    if !member.empty {
                        out.push(b',');
                    }
                });
            }
            None => {}
        }
    }
}

fn list_of(first: &[u8], last: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    out.extend_from_slice(first);
    if !first.is_empty() && !last.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(last);
    out.push(b']');
}

/// Appends `text` as it stands within a string.
fn inside(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    write::string(out, text);
    out.pop();
    if out.len() > start {
        out.remove(start);
    }
}
