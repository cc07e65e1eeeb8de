use crate::llm::translate::BadRequest;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Choice, Function, Request, Tool, openai, write_object_schema};
use crate::llm::translate::read::{Kind, Value};

/// Reads `tools`.
pub(super) fn read<'t, 'b>(body: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    for (index, tool) in body.get("tools").into_iter().flat_map(Value::elements).enumerate() {
        read_tool(tool, At::top("tools", index), request)?;
    }
    Ok(())
}

/// Reads `tool_choice`; a choice without tools says nothing.
pub(super) fn read_choice<'t, 'b>(
    body: Value<'t, 'b>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    match body.get("tool_choice").filter(|_| !request.tools.is_empty()) {
        Some(choice) => choose(choice, request),
        None => Ok(()),
    }
}

/// Tools that run at OpenAI, or that only its models know how to call, are lost; so are those that take text which is
/// no JSON.
pub(super) fn read_tool<'t, 'b>(
    tool: Value<'t, 'b>,
    at: At,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    match tool.text("type") {
        "function" => {}
        "" => return Err(BadRequest::new(at.member("type"), "must name the type of the tool")),
        "custom" => {
            request.lost.add("custom_tools");
            return Ok(());
        }
        _ => {
            request.lost.add("server_tools");
            return Ok(());
        }
    }
    let name = tool.text("name");
    if name.is_empty() {
        return Err(BadRequest::new(at.member("name"), "must be a non-empty string"));
    }
    request.tools.push(Tool::Function(Function {
        name,
        description: tool.get("description").and_then(Value::str),
        schema: tool.get("parameters"),
        strict: tool.get("strict").and_then(Value::bool),
        cache: tool.get("cache_control"),
    }));
    Ok(())
}

fn choose<'t, 'b>(choice: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    let (kind, word) = match choice.kind() {
        Kind::String(word) => ("", word),
        _ if choice.text("type") == "allowed_tools" => {
            let tools = choice.get("tools").into_iter().flat_map(Value::elements);
            let functions = tools.filter(|tool| tool.text("type") == "function");
            request.allowed = functions.map(|tool| tool.text("name")).collect();
            ("", choice.text("mode"))
        }
        _ => (choice.text("type"), ""),
    };
    request.choice = match (kind, word) {
        ("function", _) if choice.text("name").is_empty() => {
            return Err(BadRequest::new("tool_choice.name", "must name the function"));
        }
        ("function", _) => Some(Choice::Named(choice.text("name"))),
        ("", "none") => Some(Choice::Never),
        ("", "auto") => Some(Choice::Auto),
        ("", "required") => Some(Choice::Any),
        ("", _) => {
            let words = "must be none, auto, required, or an object that names a function";
            return Err(BadRequest::new("tool_choice", words));
        }
        ("custom", _) => {
            request.lost.add("custom_tools");
            None
        }
        _ => {
            request.lost.add("server_tools");
            None
        }
    };
    Ok(())
}

/// Writes `tools`, `tool_choice` and `parallel_tool_calls`: none of them without tools. What is no function passes:
/// it may be a tool of OpenAI's own by its own name.
pub(super) fn write(request: &Request<'_, '_>, e: &mut Emit<'_>) {
    if request.tools.is_empty() {
        return;
    }
    e.key("tools").array(|e| {
        request.tools.iter().for_each(|tool| match tool {
            Tool::Function(function) => write_tool(function, e),
            Tool::Foreign(tool) => e.value(*tool),
        });
    });
    match request.choice {
        Some(Choice::Named(name)) => write_name(name, e.key("tool_choice")),
        Some(Choice::Never) => e.key("tool_choice").str("none"),
        choice if !request.allowed.is_empty() => e.key("tool_choice").object(|e| {
            e.key("type").str("allowed_tools");
            e.key("mode").str(openai::choice_word(choice));
            e.key("tools").array(|e| request.allowed.iter().for_each(|name| write_name(name, e)));
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
        e.key("name").str(name);
    });
}

/// `strict` is true where nothing is said (API reference), false in all other formats; so it is always said.
fn write_tool(function: &Function<'_, '_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("function");
        e.key("name").str(function.name);
        if let Some(description) = function.description {
            e.key("description").str(description);
        }
        write_object_schema(function.schema, e.key("parameters"));
        e.key("strict").bool(function.strict == Some(true));
    });
}
