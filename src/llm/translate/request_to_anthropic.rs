//! A chat completion request of OpenAI as a messages request of Anthropic.
//!
//! Sources: OpenAI API reference "Create chat completion"; Anthropic API reference "Create a Message".

use super::claude::Claude;
use super::emit::Emit;
use super::messages_to_anthropic as messages;
use super::read::{Kind, Value};
use super::tools_to_anthropic::Tools;
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
    let claude = Claude::of(model);
    let reasoning = asked.reasoning(claude, max_tokens, &mut lost)?;
    reasoning.write_thinking(e);
    asked.write_sampling(claude, reasoning.thinks(), e, &mut lost)?;
    asked.write_stop(e, &mut lost)?;
    asked.write_output_config(&reasoning, e, &mut lost)?;
    asked.tools.write(e, &mut lost)?;
    if let Some(user) = asked.user {
        e.key("metadata").object(|e| e.key("user_id").str(user));
    }
    if let Some(stream) = asked.stream {
        e.key("stream").raw(if stream { "true" } else { "false" });
    }
    match (asked.native_system, messages::system(asked.messages)) {
        (_, messages::System::Alone | messages::System::None) => {}
        (false, messages::System::Some) => messages::write_system(asked.messages, e)?,
        (true, messages::System::Some) => {
            return Err(BadRequest::new("system", "must not be given beside messages of role system"));
        }
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
    tools: Tools<'t, 'b>,
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
            tools: Tools::default(),
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
                "tools" => asked.tools.tools = Some(value),
                "tool_choice" => asked.tools.choice = Some(value),
                "parallel_tool_calls" => asked.tools.parallel = value.bool(),
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

    /// How the model is to think, if the client asks for reasoning and Anthropic would take it here.
    ///
    /// Anthropic refuses thinking when tool choice is forced; a budget that is not below `max_tokens`; and,
    /// except when adaptive, a tool loop whose calls come without the thinking that led to them.
    fn reasoning(&self, claude: Claude, max_tokens: u64, lost: &mut Lost) -> Result<Reasoning, BadRequest> {
        let Some(effort) = self.reasoning_effort.filter(|_| !self.native_thinking) else {
            return Ok(Reasoning::Unasked);
        };
        let (budget, effort) = match effort.str() {
            Some("none") => return Ok(Reasoning::Unasked),
            Some("minimal" | "low") => (1024, "low"),
            Some("medium") => (2048, "medium"),
            Some("high") => (4096, "high"),
            Some("xhigh") => (8192, if claude.takes_highest_efforts() { "xhigh" } else { "high" }),
            Some("max") => (16384, if claude.takes_highest_efforts() { "max" } else { "high" }),
            _ => {
                let words = "must be one of none, minimal, low, medium, high, xhigh, max";
                return Err(BadRequest::new("reasoning_effort", words));
            }
        };
        let forced = self.tools.is_forced();
        if claude.thinks_adaptively() {
            return Ok(Reasoning::Adaptive { effort, thinks: !forced });
        }
        let budget = budget.min(max_tokens.saturating_sub(1));
        if budget < THINKING_BUDGET_MIN || forced || messages::tool_loop_without_thinking(self.messages) {
            lost.add("reasoning_effort");
            return Ok(Reasoning::Unasked);
        }
        Ok(Reasoning::Budget(budget))
    }

    /// Temperature is 0 to 1 at Anthropic, and 1 when thinking. `top_p` of 1 asks for nothing and is left out.
    fn write_sampling(
        &self,
        claude: Claude,
        thinks: bool,
        e: &mut Emit<'_>,
        lost: &mut Lost,
    ) -> Result<(), BadRequest> {
        let temperature = self.temperature.map(|value| number("temperature", value)).transpose()?;
        let top_p = self.top_p.map(|value| number("top_p", value)).transpose()?.filter(|part| *part != 1.0);
        let keeps_temperature = claude.takes_sampling() && !thinks;
        if let Some(degrees) = temperature {
            if degrees != 1.0 && (degrees > 1.0 || !keeps_temperature) {
                lost.add("temperature");
            }
            if keeps_temperature {
                e.key("temperature").f64(degrees.min(1.0));
            }
        }
        if let Some(part) = top_p {
            let beside_temperature = temperature.is_some() && keeps_temperature;
            if !claude.takes_sampling()
                || (thinks && part < 0.95)
                || (beside_temperature && !claude.takes_both_samplings())
            {
                lost.add("top_p");
            } else {
                e.key("top_p").f64(part);
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

    /// `output_config` holds the effort and the schema of the answer.
    fn write_output_config(
        &self,
        reasoning: &Reasoning,
        e: &mut Emit<'_>,
        lost: &mut Lost,
    ) -> Result<(), BadRequest> {
        let schema = self.output_schema(lost)?;
        let effort = reasoning.effort();
        if self.native_output || (schema.is_none() && effort.is_none()) {
            return Ok(());
        }
        e.key("output_config").object(|e| {
            if let Some(effort) = effort {
                e.key("effort").str(effort);
            }
            if let Some(schema) = schema {
                e.key("format").object(|e| {
                    e.key("type").str("json_schema");
                    e.key("schema").value(schema);
                });
            }
        });
        Ok(())
    }

    fn output_schema(&self, lost: &mut Lost) -> Result<Option<Value<'t, 'b>>, BadRequest> {
        let Some(format) = self.response_format else { return Ok(None) };
        match format.text("type") {
            "text" => Ok(None),
            "json_schema" if !self.native_output => {
                let schema = format.get("json_schema").and_then(|named| named.get("schema"));
                let missing = || {
                    BadRequest::new(
                        "response_format.json_schema.schema",
                        "must be given with type json_schema",
                    )
                };
                schema.ok_or_else(missing).map(Some)
            }
            _ => {
                lost.add("response_format");
                Ok(None)
            }
        }
    }
}

/// What becomes of `reasoning_effort`.
enum Reasoning {
    Unasked,
    /// At most so many tokens of thinking.
    Budget(u64),
    /// Thinking at the model's discretion, where it may think at all, at this effort.
    Adaptive {
        effort: &'static str,
        thinks: bool,
    },
}

impl Reasoning {
    fn thinks(&self) -> bool {
        matches!(self, Reasoning::Budget(_) | Reasoning::Adaptive { thinks: true, .. })
    }

    fn effort(&self) -> Option<&'static str> {
        if let Reasoning::Adaptive { effort, .. } = self { Some(effort) } else { None }
    }

    fn write_thinking(&self, e: &mut Emit<'_>) {
        match self {
            Reasoning::Budget(budget) => e.key("thinking").object(|e| {
                e.key("type").str("enabled");
                e.key("budget_tokens").u64(*budget);
            }),
            Reasoning::Adaptive { thinks: true, .. } => e.key("thinking").raw(r#"{"type":"adaptive"}"#),
            Reasoning::Adaptive { thinks: false, .. } | Reasoning::Unasked => {}
        }
    }
}

fn boolean(name: &str, value: Value<'_, '_>) -> Result<bool, BadRequest> {
    value.bool().ok_or_else(|| BadRequest::new(name, "must be true or false"))
}

fn number(name: &str, value: Value<'_, '_>) -> Result<f64, BadRequest> {
    value.f64().filter(|n| *n >= 0.0).ok_or_else(|| BadRequest::new(name, "must be a number of at least 0"))
}
