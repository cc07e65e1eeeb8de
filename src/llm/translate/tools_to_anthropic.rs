//! OpenAI's tools and tool choice as Anthropic's.

use super::emit::Emit;
use super::read::{Kind, Value};
use super::{BadRequest, Lost};

/// What a request says about tools.
#[derive(Clone, Copy, Default)]
pub(super) struct Tools<'t, 'b> {
    pub(super) tools: Option<Value<'t, 'b>>,
    pub(super) choice: Option<Value<'t, 'b>>,
    pub(super) parallel: Option<bool>,
}

impl<'t, 'b> Tools<'t, 'b> {
    /// Writes the members `tools` and `tool_choice`; neither without tools, as Anthropic takes no choice then.
    pub(super) fn write(&self, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        let Some(tools) = self.given() else { return Ok(()) };
        e.key("tools").open(b'[');
        for (at, tool) in tools.elements().enumerate() {
            write_tool(at, tool, e)?;
        }
        e.close(b']');
        self.write_choice(e, lost)
    }

    /// Whether the model must call a tool.
    pub(super) fn is_forced(&self) -> bool {
        self.given().is_some() && matches!(self.choice_kind(), Ok("any" | "tool"))
    }

    /// The tools, when there are any.
    fn given(&self) -> Option<Value<'t, 'b>> {
        self.tools.filter(|tools| tools.elements().next().is_some())
    }

    /// Anthropic's word for the tool choice.
    fn choice_kind(&self) -> Result<&'static str, BadRequest> {
        let bad = || {
            BadRequest::new("tool_choice", "must be none, auto, required, or an object that names a function")
        };
        let Some(choice) = self.choice else { return Ok("auto") };
        let (word, kind) = match choice.kind() {
            Kind::String(word) => (word, ""),
            _ => match choice.text("type") {
                // Which tools are allowed is lost; that one must be called is not.
                "allowed_tools" => {
                    (choice.get("allowed_tools").map_or("auto", |allowed| allowed.text("mode")), "")
                }
                kind => ("", kind),
            },
        };
        match (word, kind) {
            ("none", _) => Ok("none"),
            ("auto", _) => Ok("auto"),
            ("required" | "any", _) => Ok("any"), // `any` is Mistral's word
            ("", "function") => Ok("tool"),
            _ if choice.get("function").is_some() => Ok("tool"),
            _ => Err(bad()),
        }
    }

    fn write_choice(&self, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        let kind = self.choice_kind()?;
        let one_at_a_time = self.parallel == Some(false) && kind != "none";
        let Some(choice) = self.choice else {
            if one_at_a_time {
                e.key("tool_choice").raw(r#"{"type":"auto","disable_parallel_tool_use":true}"#);
            }
            return Ok(());
        };
        if choice.text("type") == "allowed_tools" {
            lost.add("tool_choice.allowed_tools");
        }
        let name = choice.get("function").map_or("", |function| function.text("name"));
        if kind == "tool" && name.is_empty() {
            return Err(BadRequest::new("tool_choice.function.name", "must name the function"));
        }
        e.key("tool_choice").object(|e| {
            e.key("type").str(kind);
            if kind == "tool" {
                e.key("name").str(name);
            }
            if one_at_a_time {
                e.key("disable_parallel_tool_use").raw("true");
            }
        });
        Ok(())
    }
}

/// A function becomes a tool with an input schema; what is no function passes through, so that Anthropic's own
/// tools can be used by their own names.
fn write_tool(at: usize, tool: Value<'_, '_>, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let Some(function) = tool.get("function") else {
        if !tool.is_object() || tool.get("custom").is_some() || tool.text("type") == "function" {
            return Err(BadRequest::new(format!("tools[{at}]"), "must be a tool of type function"));
        }
        e.value(tool);
        return Ok(());
    };
    let name = function.text("name");
    if name.is_empty() {
        return Err(BadRequest::new(format!("tools[{at}].function.name"), "must be a non-empty string"));
    }
    e.object(|e| {
        e.key("name").str(name);
        if let Some(description) = function.get("description") {
            e.key("description").value(description);
        }
        e.key("input_schema");
        write_input_schema(function.get("parameters"), e);
        if function.get("strict").and_then(Value::bool) == Some(true) {
            e.key("strict").raw("true");
        }
        if let Some(cache) = tool.get("cache_control").or_else(|| function.get("cache_control")) {
            e.key("cache_control").value(cache);
        }
    });
    Ok(())
}

/// Anthropic demands `type: object`; OpenAI takes functions without parameters and schemas without a type.
fn write_input_schema(parameters: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
    let given = parameters.filter(|schema| schema.members().next().is_some());
    let Some(schema) = given else { return e.raw(r#"{"type":"object","properties":{}}"#) };
    e.object(|e| {
        if schema.get("type").is_none() {
            e.key("type").str("object");
        }
        for (name, value) in schema.members() {
            if name != "type" || !value.is_null() {
                e.key(name).value(value);
            }
        }
    });
}
