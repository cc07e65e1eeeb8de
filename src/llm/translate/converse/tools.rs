use super::family::Family;
use super::fields::Fields;
use super::write_turns::write_cache_point;
use crate::llm::translate::claude;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Choice, Function, Request, Tool, write_object_schema};
use crate::llm::translate::{BadRequest, Lost};

/// The longest name of a tool in bytes (`ToolSpecification`).
const NAME_MAX: usize = 64;

/// Writes `toolConfig`.
///
/// Bedrock refuses calls and results in a conversation without it, which other providers take: then the tools that were
/// called stand in it by their names. A choice of none has no word: the tools are left out, or, where the conversation
/// needs them, it is lost.
pub(super) fn write<'b>(
    request: &Request<'_, 'b>,
    family: Family,
    fields: &mut Fields<'b>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let functions = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function(function) => Some(function),
        Tool::Foreign(_) => None,
    });
    let functions: Vec<&Function<'_, '_>> = functions.collect();
    if functions.len() < request.tools.len() {
        lost.add("server_tools");
    }
    if let Some(unfit) = functions.iter().find(|function| !is_name(function.name)) {
        let head: String = unfit.name.chars().take(NAME_MAX).collect();
        return Err(BadRequest::new("tools", format!("{BAD_NAME}: rename {head:?}")));
    }
    let called = request.called();
    let is_never = request.choice == Some(Choice::Never);
    let is_needed = !called.is_empty();
    if (functions.is_empty() || is_never) && !is_needed {
        return Ok(());
    }
    if is_never {
        lost.add("tool_choice");
    }
    e.key("toolConfig").object(|e| {
        e.key("tools").array(|e| {
            for function in &functions {
                write_tool(function, family, lost, e);
            }
            if functions.is_empty() {
                called.iter().for_each(|name| write_called(name, e));
            }
        });
        if !functions.is_empty() {
            write_choice(request, family, fields, lost, e);
        }
    });
    Ok(())
}

/// Why a name is refused; to be changed by the client, which has to know it again in the answer.
pub(super) const BAD_NAME: &str = "Bedrock takes names of tools with 1 to 64 letters, digits, _ and - alone";

pub(super) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits)
}

fn write_tool(function: &Function<'_, '_>, family: Family, lost: &mut Lost, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("toolSpec").object(|e| {
            e.key("name").str(function.name);
            if let Some(description) = function.description.filter(|description| !description.is_empty()) {
                e.key("description").str(description);
            }
            let mut strict = function.strict == Some(true);
            e.key("inputSchema").object(|e| match family {
                Family::Claude(claude) => {
                    strict = claude::write_arguments(function, claude, lost, e.key("json"));
                }
                _ => write_object_schema(function.schema, e.key("json")),
            });
            match strict {
                true if family.takes_schemas() => e.key("strict").raw("true"),
                true => lost.add("tools.strict"),
                false => {}
            }
        });
    });
    // Nova caches the prompt, but not its tools.
    if let Some(marker) = function.cache.filter(|_| family.is_claude()) {
        write_cache_point(marker, family, e);
    }
}

/// A tool of which only the name is known.
fn write_called(name: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("toolSpec").object(|e| {
            e.key("name").str(name);
            e.key("inputSchema").object(|e| write_object_schema(None, e.key("json")));
        });
    });
}

/// Writes `toolChoice`; not for `auto`, which goes without saying and which not every model lets one say. That tools are
/// called one at a time only Claude can be told, in its own `tool_choice`, which then says all.
fn write_choice<'b>(
    request: &Request<'_, 'b>,
    family: Family,
    fields: &mut Fields<'b>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) {
    if request.parallel == Some(false) && request.choice != Some(Choice::Never) {
        if family.is_claude() {
            return fields.put("tool_choice", |e| write_one_at_a_time(request.choice, e));
        }
        lost.add("parallel_tool_calls");
    }
    match request.choice {
        None | Some(Choice::Auto | Choice::Never) => {}
        Some(Choice::Any) => e.key("toolChoice").raw(r#"{"any":{}}"#),
        Some(Choice::Named(name)) => e.key("toolChoice").object(|e| {
            e.key("tool").object(|e| e.key("name").str(name));
        }),
    }
}

fn write_one_at_a_time(choice: Option<Choice<'_>>, e: &mut Emit<'_>) {
    let (kind, name) = match choice {
        None | Some(Choice::Auto | Choice::Never) => ("auto", None),
        Some(Choice::Any) => ("any", None),
        Some(Choice::Named(name)) => ("tool", Some(name)),
    };
    e.object(|e| {
        e.key("type").str(kind);
        name.into_iter().for_each(|name| e.key("name").str(name));
        e.key("disable_parallel_tool_use").raw("true");
    });
}
