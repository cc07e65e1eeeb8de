//! The JSON objects that clients send, read member by member.

use super::answer::Answer;
use serde_json::{Map, Value};

/// The members of a body that nobody has read yet. Faults name members and never repeat values: one of them may be
/// a key.
pub(super) struct Fields(Map<String, Value>);

/// The longest reason, in bytes.
const REASON_MAX: usize = 500;
/// The longest name of a rule, in bytes.
const RULE_MAX: usize = 1024;

impl Fields {
    /// Reads a body; an empty one has no members.
    ///
    /// # Errors
    /// The answer to a body that is no JSON object.
    pub(super) fn parse(body: &[u8]) -> Result<Fields, Answer> {
        if body.is_empty() {
            return Ok(Fields(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Fields(members)),
            Ok(_) => Err(Answer::fault(400, "the body must be a JSON object")),
            Err(error) => {
                let at = format!("line {} column {}", error.line(), error.column());
                Err(Answer::fault(400, &format!("the body is not JSON: it goes wrong at {at}")))
            }
        }
    }

    /// `reason`; empty when there is none.
    pub(super) fn reason(&mut self) -> Result<String, Answer> {
        Ok(self.text("reason", REASON_MAX)?.unwrap_or_default())
    }

    /// `rule`, if it is there.
    pub(super) fn rule(&mut self) -> Result<Option<String>, Answer> {
        self.text("rule", RULE_MAX)
    }

    /// A whole number above zero, which must be there.
    pub(super) fn amount(&mut self, name: &str) -> Result<u64, Answer> {
        let number = self.0.remove(name).and_then(|value| value.as_u64()).filter(|number| *number > 0);
        number.ok_or_else(|| Answer::fault(400, &format!("\"{name}\" must be a whole number above zero")))
    }

    /// The JSON text of a member, if it is there.
    pub(super) fn raw(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| value.to_string())
    }

    /// The JSON text of an object of all members that are left.
    pub(super) fn rest(&mut self) -> String {
        Value::Object(std::mem::take(&mut self.0)).to_string()
    }

    /// Holds that nothing is left.
    pub(super) fn end(&self, known: &str) -> Result<(), Answer> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(40).collect();
                Err(Answer::fault(400, &format!("unknown member {name:?}; {known}")))
            }
        }
    }

    fn text(&mut self, name: &str, most: usize) -> Result<Option<String>, Answer> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= most => Ok(Some(text)),
            Some(_) => Err(Answer::fault(400, &format!("{name:?} must be a text of at most {most} bytes"))),
        }
    }
}
