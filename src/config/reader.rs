//! Typed readers over the tree of `yaml`. A reader takes what it understands and reports the rest: a value
//! of the wrong type, out of its range, missing, or a field that nobody asked for. Reading goes on after
//! every fault, so that one pass finds them all; `None` means that a fault was reported (or that the field
//! is absent, where absence is allowed).
//!
//! Values are never repeated in faults about their type: they may be credentials.

use super::diagnostic::{Extent, Faults, Located, Place, Reason, listing, nearest, quoted};
use super::values;
use super::yaml::{Key, Kind, Node, Value};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A value under its name, ready to be read as one of the types below.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    node: &'a Node,
    name: String,
    faults: &'a Faults,
}

/// The fields of a map, each to be asked for by name.
pub(crate) struct Fields<'a> {
    at: Place,
    name: String,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    missing: Vec<&'static str>,
    passed_over: bool,
    faults: &'a Faults,
}

impl<'a> Cursor<'a> {
    /// A cursor on `node`; `name` is what faults call it.
    pub(crate) fn new(node: &'a Node, name: impl Into<String>, faults: &'a Faults) -> Cursor<'a> {
        Cursor { node, name: name.into(), faults }
    }

    pub(crate) fn at(&self) -> Place {
        self.node.at
    }

    /// The tree under it, for values whose types are not ours to say.
    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    pub(crate) fn faults(&self) -> &'a Faults {
        self.faults
    }

    /// Reports `what` about this value: `"name" what`.
    pub(crate) fn fault(&self, what: impl AsRef<str>) {
        self.faults.fault(self.at(), format!("{:?} {}", self.name, what.as_ref()));
    }

    /// Reports `what` about this value, and what to write instead.
    pub(crate) fn fault_with_help(&self, what: impl AsRef<str>, help: impl Into<String>) {
        self.faults.fault_with_help(self.at(), format!("{:?} {}", self.name, what.as_ref()), help);
    }

    /// The scalar as written, whatever its type; for fields that take a word or something else.
    pub(crate) fn node_text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The scalar as written, whatever its type; anything else, and nothing, is a fault.
    pub(crate) fn written(&self, wanted: &str) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind() != Kind::Null => Some(&scalar.text),
            _ => self.wrong(wanted),
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Any text, the empty one too.
    pub(crate) fn text(&self) -> Option<Located<String>> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind() == Kind::Text => {
                Some(Located { value: scalar.text.clone(), at: self.at() })
            }
            Value::Scalar(scalar) if scalar.kind() != Kind::Null => {
                let help = "put the value in quotes to make it a text";
                self.fault_with_help(format!("must be a text, not {}", self.node.describe()), help);
                None
            }
            _ => self.wrong("a text"),
        }
    }

    /// A text that says something.
    pub(crate) fn word(&self) -> Option<Located<String>> {
        let text = self.text()?;
        if text.value.is_empty() {
            self.fault("must not be empty");
            return None;
        }
        Some(text)
    }

    /// A text that `read` understands; its error completes the sentence `"name" ...`.
    pub(crate) fn parsed<T>(&self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<Located<T>> {
        let text = self.text()?;
        match read(&text.value) {
            Ok(value) => Some(Located { value, at: text.at }),
            Err(why) => {
                self.fault(why);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Bool(value) => Some(value),
                _ => self.wrong("true or false"),
            },
            _ => self.wrong("true or false"),
        }
    }

    /// A whole number within `range`.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Option<Located<u64>> {
        let Value::Scalar(scalar) = &self.node.value else { return self.wrong("a whole number") };
        if scalar.kind() != Kind::Integer {
            return self.wrong("a whole number");
        }
        match values::integer(&scalar.text).filter(|number| range.contains(number)) {
            Some(value) => Some(Located { value, at: self.at() }),
            None => {
                self.fault(match *range.end() {
                    u64::MAX => format!("must be at least {}, not {}", range.start(), scalar.text),
                    end => format!("must be from {} to {end}, not {}", range.start(), scalar.text),
                });
                None
            }
        }
    }

    /// A port: 1 to 65535.
    pub(crate) fn port(&self) -> Option<Located<u16>> {
        let port = self.integer(1..=65535)?;
        u16::try_from(port.value).ok().map(|value| Located { value, at: port.at })
    }

    /// A number of bytes within `range`, plain or with Ki, Mi, Gi.
    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Value::Scalar(scalar) = &self.node.value else { return self.wrong("a size") };
        let Some(size) = values::size(&scalar.text) else {
            self.fault_with_help(
                "must be a number of bytes",
                "write a plain number, or one with Ki, Mi or Gi, such as 32Ki",
            );
            return None;
        };
        if !range.contains(&size) {
            self.fault(format!("must be from {} to {} bytes, not {size}", range.start(), range.end()));
            return None;
        }
        Some(size)
    }

    /// A duration in the format of Gateway API (GEP-2257): `([0-9]{1,5}(h|m|s|ms)){1,4}`.
    pub(crate) fn duration(&self) -> Option<Located<Duration>> {
        let Value::Scalar(scalar) = &self.node.value else { return self.wrong("a duration") };
        match values::duration(&scalar.text) {
            Some(value) => Some(Located { value, at: self.at() }),
            None => {
                let help = match scalar.kind() {
                    Kind::Integer => format!("write the unit: \"{}s\" for seconds", scalar.text),
                    _ => {
                        "write one to four numbers with their units h, m, s or ms: \"100s\", \"1h30m\"".into()
                    }
                };
                self.fault_with_help("must be a duration", help);
                None
            }
        }
    }

    /// A decimal amount with at most 9 decimals, as a number of 10^-9.
    pub(crate) fn nano(&self) -> Option<u64> {
        let Value::Scalar(scalar) = &self.node.value else { return self.wrong("an amount") };
        let amount = values::nano(&scalar.text);
        if amount.is_none() {
            let help = "write a decimal number of dollars, such as \"0.80\"";
            self.fault_with_help("must be an amount with at most 9 decimals", help);
        }
        amount
    }

    /// One of the names in `choices`, as what stands beside it.
    pub(crate) fn one_of<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<Located<T>> {
        self.one_of_because(choices, Reason::UnsupportedValue)
    }

    /// As [`one_of`](Cursor::one_of); every other name is a fault for this reason.
    pub(crate) fn one_of_because<T: Copy>(
        &self,
        choices: &[(&'static str, T)],
        reason: Reason,
    ) -> Option<Located<T>> {
        let text = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names = || choices.iter().map(|(name, _)| *name);
            let must = if choices.len() == 1 { "must be" } else { "must be one of" };
            let what = format!("{:?} is {}, but {must} {}", self.name, quoted(&text.value), listing(names()));
            let at = self.at().because(reason);
            match nearest(&text.value, names()) {
                Some(meant) => self.faults.fault_with_help(at, what, format!("did you mean {meant:?}?")),
                None => self.faults.fault(at, what),
            }
        }
        found.map(|(_, value)| Located { value: *value, at: text.at })
    }

    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    /// A list of at most `max` items; items that `read` refuses are left out.
    pub(crate) fn list<T>(&self, max: usize, mut read: impl FnMut(Cursor<'a>) -> Option<T>) -> Vec<T> {
        let Value::List(items) = &self.node.value else {
            self.wrong::<()>("a list");
            return Vec::new();
        };
        if items.len() > max {
            self.fault(format!("has {} items; at most {max} are allowed", items.len()));
        }
        let cursor = |(index, item)| Cursor::new(item, format!("{}[{index}]", self.name), self.faults);
        items.iter().take(max).enumerate().map(cursor).filter_map(&mut read).collect()
    }

    /// A map whose fields `read` asks for; every field that it did not ask for is reported afterwards, so
    /// it must ask for all it knows before it gives up on any.
    pub(crate) fn fields<T>(&self, read: impl FnOnce(&mut Fields<'a>) -> Option<T>) -> Option<T> {
        let Value::Map(entries) = &self.node.value else { return self.wrong("a map") };
        let (at, name) = (self.at(), self.name.clone());
        let (asked, missing) = (Vec::new(), Vec::new());
        let mut fields =
            Fields { at, name, entries, asked, missing, passed_over: false, faults: self.faults };
        let value = read(&mut fields);
        fields.report();
        value
    }

    /// A map of free keys, such as labels: every key with a cursor on its value.
    pub(crate) fn entries(&self) -> Vec<(Located<String>, Cursor<'a>)> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong::<()>("a map");
            return Vec::new();
        };
        let entry = |(key, node): &'a (Key, Node)| {
            let name = Located { value: key.text.clone(), at: key.at };
            (name, Cursor::new(node, key.text.clone(), self.faults))
        };
        entries.iter().map(entry).collect()
    }

    fn wrong<T>(&self, wanted: &str) -> Option<T> {
        if self.node.value != Value::Refused {
            self.fault(format!("must be {wanted}, not {}", self.node.describe()));
        }
        None
    }
}

impl<'a> Fields<'a> {
    /// Where the map begins.
    pub(crate) fn at(&self) -> Place {
        self.at
    }

    /// From where the map begins to its last value.
    pub(crate) fn extent(&self) -> Extent {
        let last = self.entries.last().map(|(key, node)| node.end().max(key.at));
        Extent { from: self.at, to: last.unwrap_or(self.at).max(self.at) }
    }

    pub(crate) fn faults(&self) -> &'a Faults {
        self.faults
    }

    /// The field, unless it is absent or null, which Kubernetes takes for absent.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        (!node.is_null()).then(|| Cursor::new(node, name, self.faults))
    }

    /// The field; its absence is a fault.
    pub(crate) fn need(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing.push(name);
        }
        field
    }

    /// A list field of at most `max` items; absent is empty.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        read: impl FnMut(Cursor<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.get(name).map_or_else(Vec::new, |field| field.list(max, read))
    }

    /// Fields that are known and mean nothing here.
    pub(crate) fn pass_over(&mut self, names: &[&'static str]) {
        self.asked.extend_from_slice(names);
    }

    /// Nothing more is read, and nothing more is reported: the map as a whole was refused.
    pub(crate) fn give_up(&mut self) {
        self.passed_over = true;
    }

    /// Fields that exist elsewhere and would change what happens: each is a fault when present.
    pub(crate) fn unsupported(&mut self, names: &[&'static str], help: &str) {
        for name in names {
            if let Some(field) = self.get(name) {
                let at = field.at().because(Reason::UnsupportedValue);
                let message = format!("{name:?} in {} is not supported yet", self.name);
                self.faults.fault_with_help(at, message, help);
            }
        }
    }

    /// Whether no field has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.iter().all(|(_, node)| node.is_null())
    }

    /// Whether the field stands there with a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, node)| key.text == name && !node.is_null())
    }

    /// Reports fields that nobody asked for and fields that are missing; one that is only misspelt is
    /// reported once, as unknown.
    fn report(&mut self) {
        if !self.passed_over {
            self.report_unknown();
        }
        for name in &self.missing {
            self.faults.fault(self.at, format!("{} lacks the field {name:?}", self.name));
        }
    }

    fn report_unknown(&mut self) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.asked.contains(&key.text.as_str())) {
            let message = format!("unknown field {} in {}", quoted(&key.text), self.name);
            let unused = self.asked.iter().copied().filter(|name| !self.has(name));
            let help = match nearest(&key.text, unused) {
                Some(meant) => {
                    self.missing.retain(|missing| *missing != meant);
                    format!("did you mean {meant:?}?")
                }
                None => format!("known are: {}", listing(self.asked.iter().copied())),
            };
            self.faults.fault_with_help(key.at, message, help);
        }
    }
}
