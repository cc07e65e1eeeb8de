use crate::llm::translate::BadRequest;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Choice, Function, Request, Tool, openai};
use crate::llm::translate::read::{Kind, Value};

/// Reads `tools` and `tool_choice`; a choice without tools says nothing.
pub(super) fn read<'t, 'b>(body: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    for (at, tool) in body.get("tools").into_iter().flat_map(Value::elements).enumerate() {
        request.tools.push(read_tool(at, tool)?);
    }
    match body.get("tool_choice").filter(|_| !request.tools.is_empty()) {
        Some(choice) => read_choice(choice, request),
        None => Ok(()),
    }
}

/// What is no function passes, so that other providers' own tools can be used by their own names.
fn read_tool<'t, 'b>(at: usize, tool: Value<'t, 'b>) -> Result<Tool<'t, 'b>, BadRequest> {
    let Some(function) = tool.get("function") else {
        if !tool.is_object() || tool.get("custom").is_some() || tool.text("type") == "function" {
            return Err(BadRequest::new(format!("tools[{at}]"), "must be a tool of type function"));
        }
        return Ok(Tool::Foreign(tool));
    };
    let name = function.text("name");
    if name.is_empty() {
        return Err(BadRequest::new(format!("tools[{at}].function.name"), "must be a non-empty string"));
    }
    Ok(Tool::Function(Function {
        name,
        description: function.get("description").and_then(Value::str),
        schema: function.get("parameters"),
        strict: function.get("strict").and_then(Value::bool),
        cache: tool.get("cache_control").or_else(|| function.get("cache_control")),
    }))
}

fn read_choice<'t, 'b>(choice: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    let words = "must be none, auto, required, or an object that names a function";
    let (word, function) = match choice.kind() {
        Kind::String(word) => (word, None),
        _ if choice.text("type") == "allowed_tools" => {
            let allowed = choice.get("allowed_tools");
            let tools = allowed.and_then(|allowed| allowed.get("tools"));
            let names = tools.into_iter().flat_map(Value::elements).filter_map(|tool| tool.get("function"));
            request.allowed = names.map(|function| function.text("name")).collect();
            (allowed.map_or("auto", |allowed| allowed.text("mode")), None)
        }
        _ => (choice.text("type"), choice.get("function")),
    };
    request.choice = Some(match (word, function) {
        (_, Some(function)) if function.text("name").is_empty() => {
            return Err(BadRequest::new("tool_choice.function.name", "must name the function"));
        }
        (_, Some(function)) => Choice::Named(function.text("name")),
        ("none", _) => Choice::Never,
        ("auto", _) => Choice::Auto,
        ("required" | "any", _) => Choice::Any, // `any` is Mistral's word
        _ => return Err(BadRequest::new("tool_choice", words)),
    });
    Ok(())
}

/// Writes `tools`, `tool_choice` and `parallel_tool_calls`: none of them without tools, which OpenAI refuses.
pub(super) fn write(request: &Request<'_, '_>, e: &mut Emit<'_>) {
    if request.functions().next().is_none() {
        return;
    }
    e.key("tools").array(|e| request.functions().for_each(|function| write_tool(function, e)));
    match request.choice {
        Some(Choice::Named(name)) => write_name(name, e.key("tool_choice")),
        Some(Choice::Never) => e.key("tool_choice").str("none"),
        choice if !request.allowed.is_empty() => e.key("tool_choice").object(|e| {
            e.key("type").str("allowed_tools");
            e.key("allowed_tools").object(|e| {
                e.key("mode").str(openai::choice_word(choice));
                e.key("tools").array(|e| request.allowed.iter().for_each(|name| write_name(name, e)));
            });
        }),
        None => {}
        choice => e.key("tool_choice").str(openai::choice_word(choice)),
    }
    if request.parallel == Some(false) {
        e.key("parallel_tool_calls").raw("false");
    }
}

fn write_name(name: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("function");
        e.key("function").object(|e| e.key("name").str(name));
    });
}

fn write_tool(function: &Function<'_, '_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("function");
        e.key("function").object(|e| {
            e.key("name").str(function.name);
            if let Some(description) = function.description {
                e.key("description").str(description);
            }
            if let Some(schema) = function.schema {
                e.key("parameters").value(schema);
            }
            if let Some(strict) = function.strict {
                e.key("strict").bool(strict);
            }
        });
    });
}
