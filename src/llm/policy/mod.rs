//! What an operator makes of requests before they count: members that are set, other names of models, turns before and
//! behind the client's. It is done to the client's own body, whatever format its provider speaks.
//!
//! The order is agentgateway's: overrides, defaults where the client gave none, aliases of the model that results, then the
//! prompt. Bytes that no policy names stay as they are: there is no tree, only a list of edits over spans.

mod alias;
mod layout;
mod patch;
mod prompt;
mod routes;
#[cfg(test)]
mod tests;

pub use alias::Aliases;
pub use prompt::{Prompt, Role, Turn};
pub use routes::Routes;

pub(in crate::llm) use patch::Patch;

use super::guard::Guards;
use super::{Format, ModelPlace, Work};
use crate::wire::json::find::{self, Kind};
use crate::wire::json::{Scalar, write};
use crate::wire::url;
use layout::{Layout, Member};
use std::sync::Arc;

/// Everything that the policies in force on a rule say of requests to models.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Members that are set whatever the client says.
    pub overrides: Arc<[Field]>,
    /// Members that are set where the client has none, or null.
    pub defaults: Arc<[Field]>,
    /// Other names of models.
    pub aliases: Arc<Aliases>,
    /// Turns that are added to the client's.
    pub prompt: Arc<Prompt>,
    /// Which formats paths have.
    pub routes: Arc<Routes>,
    /// What may not pass in requests and answers.
    pub guards: Arc<Guards>,
}

/// A member of the outermost object, and the value that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, shorter than [`KEY_BYTES_MAX`](crate::wire::json::KEY_BYTES_MAX).
    pub name: String,
    /// Its value, as JSON.
    pub json: String,
}

/// What became of a request; `None` is what stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The model, where the path names it.
    pub path_model: Option<String>,
}

/// The member that names the model.
const MODEL: &str = "model";

impl Field {
    /// The value, if it is a text.
    fn text(&self) -> Option<String> {
        find::string(self.json.as_bytes(), &[]).map(Into::into)
    }
}

impl Policy {
    /// Whether there is nothing to do to requests.
    pub fn is_empty(&self) -> bool {
        self.overrides.is_empty()
            && self.defaults.is_empty()
            && self.aliases.is_empty()
            && self.prompt.is_empty()
    }

    /// What becomes of a request in the client's `format`, whose `body` was inspected; `path_model` is the model that its path
    /// names, empty when it names none.
    ///
    /// Members are set in requests that are charged for; counts of tokens are strict about what they take. The model and
    /// the prompt are theirs too, so that what is counted is what would be sent, but for the prompt in Gemini's counts,
    /// which have no place for it.
    pub fn change(&self, format: Format, body: &[u8], path_model: &[u8]) -> Changed {
        if self.is_empty() || format.is_lookup() {
            return Changed::default();
        }
        let mut changed = self.change_members(format, body, path_model);
        if !self.prompt.is_empty() {
            let body = changed.body.as_deref().unwrap_or(body);
            if let Some(with_prompt) = self.prompt.put_into(format, body) {
                changed.body = Some(with_prompt);
            }
        }
        changed
    }

    fn change_members(&self, format: Format, body: &[u8], path_model: &[u8]) -> Changed {
        let in_body = format.model_place() == ModelPlace::Body;
        let set_members = format.work() != Work::Free;
        let named = |fields: &[Field], name: &[u8]| fields.iter().any(|field| field.name.as_bytes() == name);
        let wanted = |name: &[u8]| {
            name == MODEL.as_bytes() || named(&self.overrides, name) || named(&self.defaults, name)
        };
        let Some(layout) = Layout::of(body, &wanted) else { return Changed::default() };
        let mut patch = Patch::default();
        for field in self.overrides.iter().filter(|field| set_members && field.name != MODEL) {
            set(&mut patch, &layout, &field.name, |out| out.extend_from_slice(field.json.as_bytes()));
        }
        let is_open = |field: &&Field| {
            field.name != MODEL
                && !named(&self.overrides, field.name.as_bytes())
                && layout.named(&field.name).all(is_null)
        };
        for field in self.defaults.iter().filter(|field| set_members && is_open(field)) {
            set(&mut patch, &layout, &field.name, |out| out.extend_from_slice(field.json.as_bytes()));
        }
        let asked = match in_body {
            true => find::string(body, &[MODEL]).map(String::from),
            // A path has a name in escapes, and names have one spelling.
            false => {
                let model = url::percent_decode(path_model).unwrap_or(path_model.into());
                Some(String::from_utf8_lossy(&model).into_owned())
            }
        };
        let asked = asked.filter(|model| !model.is_empty());
        let model = self.model(asked.as_deref()).filter(|model| asked.as_ref() != Some(model));
        if let Some(model) = model.as_deref().filter(|_| in_body) {
            set(&mut patch, &layout, MODEL, |out| write::string(out, model));
        }
        let body = (!patch.is_empty()).then(|| patch.applied(body, layout.top));
        Changed { body, path_model: model.filter(|_| !in_body) }
    }

    /// The model to ask for when the client names `asked`.
    fn model(&self, asked: Option<&str>) -> Option<String> {
        let of = |fields: &[Field]| fields.iter().rev().find(|field| field.name == MODEL)?.text();
        let model =
            of(&self.overrides).or_else(|| asked.map(str::to_owned)).or_else(|| of(&self.defaults))?;
        Some(self.aliases.of(&model).map_or(model, str::to_owned))
    }
}

/// Makes what `write` writes the value of the member, wherever it stands and as often as it does.
fn set(patch: &mut Patch, layout: &Layout, name: &str, write: impl Fn(&mut Vec<u8>)) {
    let mut stands = false;
    for member in layout.named(name) {
        patch.replace(member.value, &write);
        stands = true;
    }
    if !stands {
        patch.member(name, write);
    }
}

fn is_null(member: &Member) -> bool {
    member.kind == Kind::Scalar(Scalar::Null)
}
