use crate::llm::translate::claude::{self, Claude};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Choice, Function, Request, Tool, write_object_schema};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// Reads `tools` and `tool_choice`. Tools that run at Anthropic are lost; a choice without tools says nothing.
pub(super) fn read<'t, 'b>(body: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    for (at, tool) in body.get("tools").into_iter().flat_map(Value::elements).enumerate() {
        if !matches!(tool.text("type"), "" | "custom") {
            request.lost.add("server_tools");
            continue;
        }
        let name = tool.text("name");
        if name.is_empty() {
            return Err(BadRequest::new(format!("tools[{at}].name"), "must be a non-empty string"));
        }
        request.tools.push(Tool::Function(Function {
            name,
            description: tool.get("description").and_then(Value::str),
            schema: tool.get("input_schema"),
            strict: tool.get("strict").and_then(Value::bool),
            cache: tool.get("cache_control"),
        }));
    }
    match body.get("tool_choice").filter(|_| !request.tools.is_empty()) {
        Some(choice) => read_choice(choice, request),
        None => Ok(()),
    }
}

fn read_choice<'t, 'b>(choice: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    request.choice = Some(match (choice.text("type"), choice.text("name")) {
        ("auto", _) => Choice::Auto,
        ("none", _) => Choice::Never,
        ("any", _) => Choice::Any,
        ("tool", name) if !name.is_empty() => Choice::Named(name),
        _ => {
            let words = "must be of type auto, any, none, or tool with a name";
            return Err(BadRequest::new("tool_choice", words));
        }
    });
    let one_at_a_time = choice.get("disable_parallel_tool_use").and_then(Value::bool);
    request.parallel = one_at_a_time.map(|one| !one);
    Ok(())
}

/// Writes `tools` and `tool_choice`; neither without tools, as Anthropic takes no choice then. What is no function
/// passes: it may be a tool of Anthropic's own by its own name.
pub(super) fn write(request: &Request<'_, '_>, claude: Claude, lost: &mut Lost, e: &mut Emit<'_>) {
    if request.tools.is_empty() {
        return write_called(&request.called(), e);
    }
    e.key("tools").array(|e| {
        request.tools.iter().for_each(|tool| match tool {
            Tool::Function(function) => write_tool(function, claude, lost, e),
            Tool::Foreign(tool) => e.value(*tool),
        });
    });
    if !request.allowed.is_empty() {
        lost.add("tool_choice.allowed_tools"); // that one must be called is not lost
    }
    let one_at_a_time = request.parallel == Some(false) && request.choice != Some(Choice::Never);
    let choice = request.choice.or(one_at_a_time.then_some(Choice::Auto));
    let Some(choice) = choice else { return };
    e.key("tool_choice").object(|e| {
        let (kind, name) = match choice {
            Choice::Never => ("none", None),
            Choice::Auto => ("auto", None),
            Choice::Any => ("any", None),
            Choice::Named(name) => ("tool", Some(name)),
        };
        e.key("type").str(kind);
        name.into_iter().for_each(|name| e.key("name").str(name));
        if one_at_a_time {
            e.key("disable_parallel_tool_use").raw("true");
        }
    });
}

/// Anthropic refuses calls in a conversation without tools, which other providers take: then the tools that were called
/// stand there by their names, none of them to be called again.
fn write_called(called: &[&str], e: &mut Emit<'_>) {
    if called.is_empty() {
        return;
    }
    e.key("tools").array(|e| {
        for name in called {
            e.object(|e| {
                e.key("name").str(name);
                write_object_schema(None, e.key("input_schema"));
            });
        }
    });
    e.key("tool_choice").raw(r#"{"type":"none"}"#);
}

fn write_tool(function: &Function<'_, '_>, claude: Claude, lost: &mut Lost, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("name").str(function.name);
        if let Some(description) = function.description {
            e.key("description").str(description);
        }
        e.key("input_schema");
        if claude::write_arguments(function, claude, lost, e) {
            e.key("strict").raw("true");
        }
        if let Some(cache) = function.cache {
            e.key("cache_control").value(cache);
        }
    });
}
