use super::names;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Choice, Function, Request, Tool};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};

/// Tools that run at Google (API reference, `Tool`).
const AT_GOOGLE: [&str; 10] = [
    "googleSearch",
    "googleSearchRetrieval",
    "codeExecution",
    "urlContext",
    "googleMaps",
    "fileSearch",
    "computerUse",
    "retrieval",
    "enterpriseWebSearch",
    "mcpServers",
];

/// Reads `tools` and `toolConfig`; `made` holds the schemas of functions that have one of OpenAPI. Tools that run at
/// Google are lost; a choice without tools says nothing.
pub(super) fn read<'t, 'b>(
    body: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    request: &mut Request<'t, 'b>,
) -> Result<(), BadRequest> {
    let mut made = made.into_iter().flat_map(Value::elements);
    for (at, tool) in names::each(body, "tools").enumerate() {
        let mut schemas = made.next().into_iter().flat_map(Value::elements);
        if tool.members().any(|(name, _)| !names::is(name, "functionDeclarations")) {
            request.lost.add("server_tools");
        }
        for (index, function) in names::each(tool, "functionDeclarations").enumerate() {
            let openapi = schemas.next().filter(|schema| !schema.is_null());
            let name = names::text(function, "name");
            if name.is_empty() {
                let at = format!("tools[{at}].functionDeclarations[{index}].name");
                return Err(BadRequest::new(at, "must be a non-empty string"));
            }
            let description = names::get(function, "description").and_then(Value::str);
            request.tools.push(Tool::Function(Function {
                name,
                description: description.filter(|description| !description.is_empty()),
                schema: names::get(function, "parametersJsonSchema").or(openapi),
                strict: None,
                cache: None,
            }));
        }
    }
    match names::get(body, "toolConfig") {
        Some(config) => read_config(config, request),
        None => Ok(()),
    }
}

fn read_config<'t, 'b>(config: Value<'t, 'b>, request: &mut Request<'t, 'b>) -> Result<(), BadRequest> {
    let calling = names::get(config, "functionCallingConfig");
    if config.members().any(|(name, _)| !names::is(name, "functionCallingConfig")) {
        request.lost.add("server_tools"); // what searches and maps are to look at
    }
    let Some(calling) = calling.filter(|_| !request.tools.is_empty()) else { return Ok(()) };
    let allowed: Vec<&str> = names::each_text(calling, "allowedFunctionNames").collect();
    request.choice = match names::text(calling, "mode").to_ascii_uppercase().as_str() {
        "" | "MODE_UNSPECIFIED" => None,
        "NONE" => Some(Choice::Never),
        "AUTO" => Some(Choice::Auto),
        "ANY" => match allowed.as_slice() {
            [name] => Some(Choice::Named(name)),
            _ => Some(Choice::Any),
        },
        "VALIDATED" => {
            request.lost.add("strict");
            Some(Choice::Auto)
        }
        _ => {
            let at = "toolConfig.functionCallingConfig.mode";
            return Err(BadRequest::new(at, "must be one of AUTO, ANY, NONE, VALIDATED"));
        }
    };
    if !matches!(request.choice, Some(Choice::Named(_) | Choice::Never)) {
        request.allowed = allowed;
    }
    Ok(())
}

/// Writes `tools` and `toolConfig`.
pub(super) fn write(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    write_tools(request, lost, e);
    if request.functions().next().is_some() {
        write_config(request, lost, e);
    }
}

/// Writes `tools`. Of what is no function only the tools that run at Google pass, by their own names.
pub(super) fn write_tools(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    let at_google = |tool: &Tool<'_, '_>| match tool {
        Tool::Foreign(tool) => {
            let known = |(given, _)| AT_GOOGLE.iter().any(|name| names::is(given, name));
            tool.members().next().is_some() && tool.members().all(known)
        }
        Tool::Function(_) => true,
    };
    if !request.tools.iter().all(at_google) {
        lost.add("server_tools");
    }
    if !request.tools.iter().any(at_google) {
        return;
    }
    e.key("tools").array(|e| {
        if request.functions().next().is_some() {
            e.object(|e| {
                e.key("functionDeclarations");
                e.array(|e| request.functions().for_each(|function| write_function(function, lost, e)));
            });
        }
        for tool in request.tools.iter().filter(|tool| at_google(tool)) {
            if let Tool::Foreign(tool) = tool {
                e.value(*tool);
            }
        }
    });
}

/// Several tools may always be called at once at Google.
fn write_config(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    if request.parallel == Some(false) && request.choice != Some(Choice::Never) {
        lost.add("parallel_tool_calls");
    }
    let some = !request.allowed.is_empty();
    let mode = match request.choice {
        None | Some(Choice::Auto) if some => "VALIDATED", // AUTO takes no names
        None => return,
        Some(Choice::Auto) => "AUTO",
        Some(Choice::Never) => "NONE",
        Some(Choice::Any | Choice::Named(_)) => "ANY",
    };
    let names = match &request.choice {
        Some(Choice::Named(name)) => std::slice::from_ref(name),
        Some(Choice::Never) => &[],
        _ => request.allowed.as_slice(),
    };
    e.key("toolConfig").object(|e| {
        e.key("functionCallingConfig").object(|e| {
            e.key("mode").str(mode);
            if !names.is_empty() {
                e.key("allowedFunctionNames").array(|e| names.iter().for_each(|name| e.str(name)));
            }
        });
    });
}

fn write_function(function: &Function<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    if function.strict == Some(true) {
        lost.add("strict");
    }
    e.object(|e| {
        e.key("name").str(function.name);
        if let Some(description) = function.description {
            e.key("description").str(description);
        }
        if let Some(schema) = function.schema.filter(|schema| schema.members().next().is_some()) {
            e.key("parametersJsonSchema").value(schema);
        }
    });
}
