//! A chat completion request of OpenAI as a messages request of Anthropic.
//!
//! Sources: OpenAI API reference "Create chat completion"; Anthropic API reference "Create a Message".

use super::emit::Emit;
use super::messages_to_anthropic as messages;
use super::read::{Kind, Value};
use super::{BadRequest, Lost, RequestTerms};

/// The least `budget_tokens` that Anthropic accepts ("Building with extended thinking").
const THINKING_BUDGET_MIN: u64 = 1024;

pub(super) fn request(
    body: Value<'_, '_>,
    terms: &RequestTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadRequest> {
    let mut lost = Lost::default();
    let e = &mut Emit::new(out);
    e.open(b'{');
    let asked = Asked::read(body, e, &mut lost)?;
    let model = terms.model.map_or_else(|| asked.model(), Ok)?;
    e.key("model").str(model);
    let max_tokens = asked.max_tokens(terms)?;
    e.key("max_tokens").u64(max_tokens);
    let budget = asked.thinking_budget(max_tokens, &mut lost)?;
    if let Some(budget) = budget {
        e.key("thinking").object(|e| {
            e.key("type").str("enabled");
            e.key("budget_tokens").u64(budget);
        });
    }
    asked.write_sampling(budget.is_some(), e, &mut lost)?;
    asked.write_stop(e, &mut lost)?;
    asked.write_output_format(e, &mut lost)?;
    asked.write_tools(e, &mut lost)?;
    if let Some(user) = asked.user {
        e.key("metadata").object(|e| e.key("user_id").str(user));
    }
    if let Some(stream) = asked.stream {
        e.key("stream").raw(if stream { "true" } else { "false" });
    }
    if !asked.native_system && !messages::is_only_system(asked.messages) {
        messages::write_system(asked.messages, e)?;
    }
    e.key("messages");
    messages::write(asked.messages, e, &mut lost)?;
    e.close(b'}');
    Ok(lost)
}

/// The members of the request that mean something to Anthropic.
struct Asked<'t, 'b> {
    messages: Value<'t, 'b>,
    model: Option<&'b str>,
    max_tokens: Option<Value<'t, 'b>>,
    max_completion_tokens: Option<Value<'t, 'b>>,
    temperature: Option<Value<'t, 'b>>,
    top_p: Option<Value<'t, 'b>>,
    stop: Option<Value<'t, 'b>>,
    response_format: Option<Value<'t, 'b>>,
    tools: Option<Value<'t, 'b>>,
    tool_choice: Option<Value<'t, 'b>>,
    parallel_tool_calls: Option<bool>,
    reasoning_effort: Option<Value<'t, 'b>>,
    user: Option<&'b str>,
    stream: Option<bool>,
    /// Members that the client gave by Anthropic's own name, which passed through and win.
    native_thinking: bool,
    native_system: bool,
    native_stop: bool,
    native_output: bool,
}

/// Members of OpenAI's request that Anthropic has no counterpart for, and the value (if any) that asks for
/// nothing special, so that leaving it out loses nothing.
const WITHOUT_COUNTERPART: &[(&str, Neutral)] = &[
    ("n", Neutral::Number(1.0)),
    ("logprobs", Neutral::False),
    ("top_logprobs", Neutral::Number(0.0)),
    ("logit_bias", Neutral::Empty),
    ("presence_penalty", Neutral::Number(0.0)),
    ("frequency_penalty", Neutral::Number(0.0)),
    ("seed", Neutral::Never),
    ("metadata", Neutral::Empty),
    ("modalities", Neutral::OnlyText),
    ("audio", Neutral::Never),
    ("prediction", Neutral::Never),
    ("verbosity", Neutral::Word("medium")),
    ("service_tier", Neutral::Word("auto")),
    ("web_search_options", Neutral::Never),
    ("moderation", Neutral::Never),
    // These ask the provider to keep or to find something, not for another answer.
    ("store", Neutral::Always),
    ("stream_options", Neutral::Always),
    ("prompt_cache_key", Neutral::Always),
    ("prompt_cache_retention", Neutral::Always),
];

enum Neutral {
    Number(f64),
    False,
    Empty,
    OnlyText,
    Word(&'static str),
    Always,
    Never,
}

impl Neutral {
    fn is(&self, value: Value<'_, '_>) -> bool {
        match self {
            Neutral::Number(neutral) => value.f64() == Some(*neutral),
            Neutral::False => value.bool() == Some(false),
            Neutral::Empty => value.is_object() && value.members().next().is_none(),
            Neutral::OnlyText => value.is_array() && value.elements().all(|mode| mode.str() == Some("text")),
            Neutral::Word(word) => value.str() == Some(word),
            Neutral::Always => true,
            Neutral::Never => false,
        }
    }
}

impl<'t, 'b> Asked<'t, 'b> {
    /// Reads the known members, passes unknown ones through to `e`.
    fn read(body: Value<'t, 'b>, e: &mut Emit<'_>, lost: &mut Lost) -> Result<Asked<'t, 'b>, BadRequest> {
        let mut asked = Asked {
            messages: body,
            model: None,
            max_tokens: None,
            max_completion_tokens: None,
            temperature: None,
            top_p: None,
            stop: None,
            response_format: None,
            tools: None,
            tool_choice: None,
            parallel_tool_calls: None,
            reasoning_effort: None,
            user: body.get("user").or_else(|| body.get("safety_identifier")).and_then(Value::str),
            stream: None,
            native_thinking: false,
            native_system: false,
            native_stop: false,
            native_output: false,
        };
        for (name, value) in body.members().filter(|(_, value)| !value.is_null()) {
            match name {
                "messages" => asked.messages = value,
                "model" => asked.model = value.str(),
                "max_tokens" => asked.max_tokens = Some(value),
                "max_completion_tokens" => asked.max_completion_tokens = Some(value),
                "temperature" => asked.temperature = Some(value),
                "top_p" => asked.top_p = Some(value),
                "stop" => asked.stop = Some(value),
                "response_format" => asked.response_format = Some(value),
                "tools" => asked.tools = Some(value),
                "tool_choice" => asked.tool_choice = Some(value),
                "parallel_tool_calls" => asked.parallel_tool_calls = value.bool(),
                "reasoning_effort" => asked.reasoning_effort = Some(value),
                "user" | "safety_identifier" => {}
                "stream" => asked.stream = Some(boolean(name, value)?),
                "functions" | "function_call" => {
                    return Err(BadRequest::new(
                        name,
                        "is deprecated and not translated: use tools and tool_choice",
                    ));
                }
                _ => asked.pass(name, value, e, lost),
            }
        }
        if !asked.messages.is_array() {
            return Err(BadRequest::new("messages", "must be an array of messages"));
        }
        Ok(asked)
    }

    fn pass(&mut self, name: &str, value: Value<'_, '_>, e: &mut Emit<'_>, lost: &mut Lost) {
        if let Some((known, neutral)) = WITHOUT_COUNTERPART.iter().find(|(known, _)| *known == name) {
            if !neutral.is(value) {
                lost.add(known);
            }
            return;
        }
        let seen = match name {
            "thinking" => Some(&mut self.native_thinking),
            "system" => Some(&mut self.native_system),
            "stop_sequences" => Some(&mut self.native_stop),
            "output_config" => Some(&mut self.native_output),
            _ => None,
        };
        if let Some(seen) = seen {
            *seen = true;
        }
        e.key(name).value(value);
    }

    fn model(&self) -> Result<&'b str, BadRequest> {
        self.model.ok_or_else(|| BadRequest::new("model", "you must provide a model"))
    }

    fn max_tokens(&self, terms: &RequestTerms<'_>) -> Result<u64, BadRequest> {
        let (name, given) = match (self.max_completion_tokens, self.max_tokens) {
            (Some(given), _) => ("max_completion_tokens", given),
            (None, Some(given)) => ("max_tokens", given),
            (None, None) => return Ok(terms.default_max_tokens),
        };
        let whole = given.u64().filter(|tokens| *tokens >= 1);
        whole.ok_or_else(|| BadRequest::new(name, "must be a whole number of at least 1"))
    }

    /// The tokens to think with, if the client asks for reasoning and Anthropic would take it here.
    ///
    /// Anthropic refuses thinking when tool choice is forced, when `budget_tokens` is not below `max_tokens`,
    /// and in a tool loop whose calls come without the thinking that led to them.
    fn thinking_budget(&self, max_tokens: u64, lost: &mut Lost) -> Result<Option<u64>, BadRequest> {
        let Some(effort) = self.reasoning_effort.filter(|_| !self.native_thinking) else { return Ok(None) };
        let budget = match effort.str() {
            Some("none") => return Ok(None),
            Some("minimal" | "low") => 1024,
            Some("medium") => 2048,
            Some("high") => 4096,
            Some("xhigh") => 8192,
            Some("max") => 16384,
            _ => {
                let words = "must be one of none, minimal, low, medium, high, xhigh, max";
                return Err(BadRequest::new("reasoning_effort", words));
            }
        };
        let budget = budget.min(max_tokens.saturating_sub(1));
        let forced = self.tools().is_some() && matches!(self.tool_choice_kind(), Ok("any" | "tool"));
        if budget < THINKING_BUDGET_MIN || forced || messages::tool_loop_without_thinking(self.messages) {
            lost.add("reasoning_effort");
            return Ok(None);
        }
        Ok(Some(budget))
    }

    /// Temperature is 0 to 1 at Anthropic, and 1 when thinking; `top_p` of 1 is left out because it asks for
    /// nothing and newer models refuse it next to a temperature.
    fn write_sampling(&self, thinking: bool, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        if let Some(value) = self.temperature {
            let degrees = number("temperature", value)?;
            if thinking || degrees > 1.0 {
                if degrees != 1.0 {
                    lost.add("temperature");
                }
                if !thinking {
                    e.key("temperature").u64(1);
                }
            } else {
                e.key("temperature").value(value);
            }
        }
        if let Some(value) = self.top_p {
            let part = number("top_p", value)?;
            if thinking && part < 0.95 {
                lost.add("top_p");
            } else if part != 1.0 {
                e.key("top_p").value(value);
            }
        }
        Ok(())
    }

    /// Anthropic refuses stop sequences that are only white space, such as OpenAI clients' `"\n"`.
    fn write_stop(&self, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        let Some(stop) = self.stop.filter(|_| !self.native_stop) else { return Ok(()) };
        let bad = || BadRequest::new("stop", "must be a string or an array of strings");
        let given: Vec<&str> = match stop.kind() {
            Kind::String(one) => vec![one],
            Kind::Array => stop.elements().map(|one| one.str().ok_or_else(bad)).collect::<Result<_, _>>()?,
            _ => return Err(bad()),
        };
        let (kept, blank): (Vec<&str>, Vec<&str>) = given.into_iter().partition(|one| !one.trim().is_empty());
        if !blank.is_empty() {
            lost.add("stop");
        }
        if !kept.is_empty() {
            e.key("stop_sequences").array(|e| kept.iter().for_each(|one| e.str(one)));
        }
        Ok(())
    }

    fn write_output_format(&self, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        let Some(format) = self.response_format else { return Ok(()) };
        match format.text("type") {
            "text" => {}
            "json_schema" if !self.native_output => {
                let schema = format.get("json_schema").and_then(|named| named.get("schema"));
                let schema = schema.ok_or_else(|| {
                    BadRequest::new(
                        "response_format.json_schema.schema",
                        "must be given with type json_schema",
                    )
                })?;
                e.key("output_config").object(|e| {
                    e.key("format").object(|e| {
                        e.key("type").str("json_schema");
                        e.key("schema").value(schema);
                    });
                });
            }
            _ => lost.add("response_format"),
        }
        Ok(())
    }

    /// The tools, when there are any.
    fn tools(&self) -> Option<Value<'t, 'b>> {
        self.tools.filter(|tools| tools.elements().next().is_some())
    }

    fn write_tools(&self, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        let Some(tools) = self.tools() else { return Ok(()) }; // Anthropic takes no tool_choice without tools
        e.key("tools").open(b'[');
        for (at, tool) in tools.elements().enumerate() {
            write_tool(at, tool, e)?;
        }
        e.close(b']');
        self.write_tool_choice(e, lost)
    }

    /// Anthropic's word for the tool choice.
    fn tool_choice_kind(&self) -> Result<&'static str, BadRequest> {
        let bad = || {
            BadRequest::new("tool_choice", "must be none, auto, required, or an object that names a function")
        };
        let Some(choice) = self.tool_choice else { return Ok("auto") };
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

    fn write_tool_choice(&self, e: &mut Emit<'_>, lost: &mut Lost) -> Result<(), BadRequest> {
        let kind = self.tool_choice_kind()?;
        let one_at_a_time = self.parallel_tool_calls == Some(false) && kind != "none";
        let Some(choice) = self.tool_choice else {
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

fn boolean(name: &str, value: Value<'_, '_>) -> Result<bool, BadRequest> {
    value.bool().ok_or_else(|| BadRequest::new(name, "must be true or false"))
}

fn number(name: &str, value: Value<'_, '_>) -> Result<f64, BadRequest> {
    value.f64().filter(|n| *n >= 0.0).ok_or_else(|| BadRequest::new(name, "must be a number of at least 0"))
}
