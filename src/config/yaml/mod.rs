//! YAML text to a tree with a place on every node, built on the events of `saphyr-parser`.
//!
//! A text is cut at its document markers first, and every document has a parser of its own: a syntax
//! error costs one document, never the text. YAML 1.2.2 section 9.1.2 makes that cut exact: a line that
//! begins with `---` is a marker wherever it stands, inside block and quoted scalars too.
//!
//! What Kubernetes manifests do not need is refused by name, because it hides what is in force: anchors,
//! aliases, tags, duplicate keys, keys that are not scalars. JSON is YAML and needs nothing special.

use crate::config::diagnostic::{Faults, Place, quoted};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use std::collections::HashMap;
use zeroize::Zeroize;

/// The largest text, in bytes.
const TEXT_MAX: usize = 4 << 20;
/// The most nodes in one text.
const NODES_MAX: usize = 200_000;
/// The deepest nesting of lists and maps.
const DEPTH_MAX: usize = 64;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Something stood here that was refused already; readers pass over it without a second fault.
    Refused,
}

/// A scalar as written: its text, and whether it stood without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) plain: bool,
}

/// It may be a credential.
impl Drop for Scalar {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// The key of a map's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) at: Place,
}

/// What a scalar is by the core schema of YAML 1.2.2 (section 10.3.2): `yes` and `no` are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Integer,
    Float,
    Text,
}

impl Scalar {
    pub(crate) fn kind(&self) -> Kind {
        match self.text.as_str() {
            _ if !self.plain => Kind::Text,
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            text if is_integer(text) => Kind::Integer,
            text if is_float(text) => Kind::Float,
            _ => Kind::Text,
        }
    }
}

impl Node {
    /// Where the last value in it begins.
    pub(crate) fn end(&self) -> Place {
        let last = match &self.value {
            Value::List(items) => items.last().map(Node::end),
            Value::Map(entries) => entries.last().map(|(key, node)| node.end().max(key.at)),
            Value::Scalar(_) | Value::Refused => None,
        };
        last.unwrap_or(self.at)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
    }

    /// What it is, in words, for `must be a list, not a map`.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Refused => "something refused",
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Null => "nothing",
                Kind::Bool(_) => "true or false",
                Kind::Integer => "a number",
                Kind::Float => "a number with decimals",
                Kind::Text => "a text",
            },
        }
    }
}

/// The documents of a text.
pub(crate) struct Documents {
    /// The root of every document that could be read and is not empty, in order.
    pub(crate) roots: Vec<Node>,
    /// Where documents stand that could not be read.
    pub(crate) unread: Vec<Place>,
}

/// Reads every document of `text`, the source number `file`; what cannot be read is reported to `faults`.
pub(crate) fn parse(text: &str, file: u32, faults: &Faults) -> Documents {
    let mut documents = Documents { roots: Vec::new(), unread: Vec::new() };
    if text.len() > TEXT_MAX {
        let at = Place { file, line: 1, column: 1 };
        faults.fault(at, format!("the file has {} bytes; at most {TEXT_MAX} are read", text.len()));
        documents.unread.push(at);
        return documents;
    }
    let mut nodes = 0;
    for (line_offset, part) in split(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let mut builder = Builder { file, line_offset, nodes, faults, open: Vec::new(), roots: Vec::new() };
        if let Err(at) = builder.read(part) {
            documents.unread.push(at);
        }
        nodes = builder.nodes;
        documents.roots.append(&mut builder.roots);
    }
    documents.roots.retain(|root| !root.is_null());
    documents
}

/// Cuts `text` before every line that is a document marker, with the number of lines before each part.
/// Directives and comments stay with the document that they stand before.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut has_content) = (0, 0u32, false);
    let mut offset = 0;
    for (number, line) in (0u32..).zip(text.split_inclusive('\n')) {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_marker && has_content {
            parts.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, number);
        }
        let bare = line.trim();
        has_content |= is_marker || !(bare.is_empty() || bare.starts_with(['#', '%']));
        offset += line.len();
    }
    parts.push((start_line, &text[start..]));
    parts
}

/// Builds the tree of one part without recursion: `open` is the path from the root to where we are.
struct Builder<'a> {
    file: u32,
    line_offset: u32,
    nodes: usize,
    faults: &'a Faults,
    open: Vec<Open>,
    roots: Vec<Node>,
}

/// A list or map whose end has not been read.
enum Open {
    List { at: Place, items: Vec<Node> },
    Map { at: Place, entries: Vec<(Key, Node)>, key: Pending, seen: HashMap<String, Place> },
}

/// What a map waits for.
enum Pending {
    Key,
    ValueOf(Key),
    /// The value of a key that was refused.
    Dropped,
}

impl Builder<'_> {
    /// `Err` with the place where reading stopped.
    fn read(&mut self, part: &str) -> Result<(), Place> {
        let mut parser = Parser::new_from_str(part);
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => return Err(self.syntax_fault(part, &error)),
            };
            let at = self.place(span.start.line(), span.start.col());
            self.event(event, at)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, at: Place) -> Result<(), Place> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(at, anchor, tag.is_some());
                let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.attach(Node { at, value: Value::Scalar(scalar) })
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(at, anchor, tag.is_some());
                self.enter(at, Open::List { at, items: Vec::new() })
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(at, anchor, tag.is_some());
                let (entries, seen) = (Vec::new(), HashMap::new());
                self.enter(at, Open::Map { at, entries, key: Pending::Key, seen })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { at, items }) => self.attach(Node { at, value: Value::List(items) }),
                Some(Open::Map { at, entries, .. }) => self.attach(Node { at, value: Value::Map(entries) }),
                None => Ok(()),
            },
            Event::Alias(_) => {
                self.refuse_alias(at);
                self.attach(Node { at, value: Value::Refused })
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, at: Place, open: Open) -> Result<(), Place> {
        if self.open.len() == DEPTH_MAX {
            self.too_deep(at);
            return Err(at);
        }
        self.open.push(open);
        Ok(())
    }

    fn refuse_alias(&self, at: Place) {
        self.faults.fault_with_help(at, "aliases (*name) are not supported", "write the value out here");
    }

    fn too_deep(&self, at: Place) {
        self.faults.fault(at, format!("lists and maps nest deeper than {DEPTH_MAX} levels"));
    }

    /// Hands a finished node to the list or map around it, or to the roots.
    fn attach(&mut self, node: Node) -> Result<(), Place> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.faults.fault(node.at, format!("the file has more than {NODES_MAX} values"));
            return Err(node.at);
        }
        match self.open.last_mut() {
            None => self.roots.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, seen, .. }) => {
                *key = match std::mem::replace(key, Pending::Key) {
                    Pending::Key => pending(self.faults, node, seen),
                    Pending::ValueOf(key) => {
                        entries.push((key, node));
                        Pending::Key
                    }
                    Pending::Dropped => Pending::Key,
                }
            }
        }
        Ok(())
    }

    fn refuse_extras(&self, at: Place, anchor: usize, has_tag: bool) {
        if anchor > 0 {
            let help = "remove the anchor and write the value out where it is used";
            self.faults.fault_with_help(at, "anchors (&name) are not supported", help);
        }
        if has_tag {
            self.faults.fault_with_help(at, "tags (!name) are not supported", "remove the tag");
        }
    }

    /// Reports why the parser stopped; a tab in the indentation is the usual reason and has its own words.
    fn syntax_fault(&self, part: &str, error: &ScanError) -> Place {
        let marker = error.marker();
        let last_lines = part.lines().enumerate().take(marker.line()).skip(marker.line().saturating_sub(2));
        for (index, line) in last_lines {
            let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
            if let Some(column) = indent.find('\t').filter(|_| indent.len() < line.trim_end().len()) {
                let at = self.place(index + 1, column);
                self.faults.fault_with_help(
                    at,
                    "a tab indents this line",
                    "YAML allows only spaces there; replace the tab by spaces",
                );
                return at;
            }
        }
        let at = self.place(marker.line(), marker.col());
        match error.info() {
            "recursion limit exceeded" => self.too_deep(at), // the parser's own bound, met before ours
            info if info.contains("unknown anchor") => self.refuse_alias(at),
            info => self.faults.fault(at, format!("this is not YAML: {info}")),
        }
        at
    }

    fn place(&self, line: usize, column: usize) -> Place {
        let line = u32::try_from(line.max(1)).unwrap_or(u32::MAX).saturating_add(self.line_offset);
        Place { file: self.file, line, column: u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1) }
    }
}

/// What a map waits for after `node` stood in the place of a key.
fn pending(faults: &Faults, node: Node, seen: &mut HashMap<String, Place>) -> Pending {
    let Node { at, value: Value::Scalar(mut scalar) } = node else {
        faults.fault(node.at, format!("a key must be a name, not {}", node.describe()));
        return Pending::Dropped;
    };
    let text = std::mem::take(&mut scalar.text);
    if let Some(first) = seen.get(&text) {
        let message = format!("the key {} stands twice in this map", quoted(&text));
        faults.fault_with_help(at, message, format!("it stands in line {} already; keep one", first.line));
        return Pending::Dropped;
    }
    seen.insert(text.clone(), at);
    Pending::ValueOf(Key { text, at })
}

fn is_integer(text: &str) -> bool {
    let all = |digits: &str, is: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(is);
    match text {
        _ if text.starts_with("0o") => all(&text[2..], |b| matches!(b, b'0'..=b'7')),
        _ if text.starts_with("0x") => all(&text[2..], u8::is_ascii_hexdigit),
        _ => all(text.strip_prefix(['+', '-']).unwrap_or(text), u8::is_ascii_digit),
    }
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, infinities and not-a-number.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_number = digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty());
    is_number && !exponent.is_empty() && digits(exponent)
}

#[cfg(test)]
mod tests;
