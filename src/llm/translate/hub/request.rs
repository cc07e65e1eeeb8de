use super::part::{Part, What};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost};
use std::collections::HashSet;

/// A request for an answer of a model.
#[derive(Default)]
pub(crate) struct Request<'t, 'b> {
    /// The model; the gateway's choice where the Backend names one.
    pub(crate) model: &'b str,
    /// The conversation, system messages among the others where the format has them there.
    pub(crate) turns: Vec<Turn<'t, 'b>>,
    pub(crate) tools: Vec<Tool<'t, 'b>>,
    pub(crate) choice: Option<Choice<'b>>,
    /// The names of the tools that may be called, where the client allows only some; else empty.
    pub(crate) allowed: Vec<&'b str>,
    /// Whether several tools may be called at once.
    pub(crate) parallel: Option<bool>,
    /// The most tokens of output, at least 1.
    pub(crate) max_output: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<u64>,
    pub(crate) seed: Option<Value<'t, 'b>>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    /// How many answers; an answer has one in all formats but OpenAI's and Gemini's.
    pub(crate) choices: Option<u64>,
    /// Whether the probabilities of tokens shall be told, and of how many alternatives.
    pub(crate) logprobs: Option<bool>,
    pub(crate) top_logprobs: Option<u64>,
    pub(crate) stop: Vec<&'b str>,
    pub(crate) reasoning: Reasoning,
    pub(crate) shape: Shape<'t, 'b>,
    /// How much is to be said: `low`, `medium`, `high` (OpenAI).
    pub(crate) verbosity: Option<&'b str>,
    /// Who asks, as the client tells its provider.
    pub(crate) user: Option<&'b str>,
    /// How the provider shall serve, in OpenAI's words: `auto`, `default`, `flex`, `priority`.
    pub(crate) tier: Option<&'b str>,
    /// OpenAI's key of its prompt cache.
    pub(crate) cache_key: Option<&'b str>,
    /// Notes that the provider keeps beside the answer (OpenAI's `metadata`).
    pub(crate) notes: Option<Value<'t, 'b>>,
    pub(crate) stream: Option<bool>,
    /// Members that the client's format does not know. They pass where the provider may know them.
    pub(crate) rest: Vec<(&'b str, Value<'t, 'b>)>,
    /// What is lost already: what no other format has.
    pub(crate) lost: Lost,
}

impl<'t, 'b> Request<'t, 'b> {
    /// All system messages in their order.
    pub(crate) fn system(&self) -> impl Iterator<Item = &Turn<'t, 'b>> {
        self.turns.iter().filter(|turn| turn.role == Role::System)
    }

    /// The texts of the system messages that stand beside a conversation, with their cache markers; none of them blank.
    ///
    /// # Errors
    /// When one holds anything but text.
    pub(crate) fn system_texts(&self) -> Result<Vec<(&'b str, Option<Value<'t, 'b>>)>, BadRequest> {
        let mut texts = Vec::new();
        if self.has_system_alone() {
            return Ok(texts);
        }
        for part in self.system().flat_map(|turn| &turn.parts) {
            let What::Text { text, .. } = part.what else {
                return Err(BadRequest::new(part.at.to_string(), "a system message holds only text"));
            };
            if !text.trim().is_empty() {
                texts.push((text, part.cache));
            }
        }
        Ok(texts)
    }

    /// What stands in the conversation. A system prompt that stands alone, which some providers answer and others
    /// refuse, is what the user says.
    pub(crate) fn conversation(&self) -> impl Iterator<Item = &Turn<'t, 'b>> {
        let alone = self.has_system_alone();
        self.turns.iter().filter(move |turn| alone || turn.role != Role::System)
    }

    /// The names of the tools that were called in the conversation, each once.
    pub(crate) fn called(&self) -> Vec<&'b str> {
        let mut seen = HashSet::new();
        let parts = self.turns.iter().flat_map(|turn| &turn.parts);
        let names = parts.filter_map(|part| match part.what {
            What::Call { name, .. } => Some(name),
            _ => None,
        });
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// Whether nothing is said but by the system.
    pub(crate) fn has_system_alone(&self) -> bool {
        self.turns.iter().all(|turn| turn.role == Role::System)
    }

    /// Whether the model must call a tool.
    pub(crate) fn is_forced(&self) -> bool {
        !self.tools.is_empty() && matches!(self.choice, Some(Choice::Any | Choice::Named(_)))
    }

    /// Notes what the client wishes for and a format cannot say: all wishes but those that it has.
    pub(crate) fn lose_all_but(&self, has: &[Wish], lost: &mut Lost) {
        let over = |number: Option<u64>, neutral: u64| number.is_some_and(|number| number > neutral);
        let some = |number: Option<f64>| number.is_some_and(|number| number != 0.0);
        let wishes = [
            (Wish::Choices, "n", over(self.choices, 1)),
            (Wish::Logprobs, "logprobs", self.logprobs == Some(true)),
            (Wish::Logprobs, "top_logprobs", over(self.top_logprobs, 0)),
            (Wish::Penalties, "presence_penalty", some(self.presence_penalty)),
            (Wish::Penalties, "frequency_penalty", some(self.frequency_penalty)),
            (Wish::Seed, "seed", self.seed.is_some()),
            (Wish::TopK, "top_k", self.top_k.is_some()),
            (Wish::Notes, "metadata", self.notes.is_some_and(|notes| notes.members().next().is_some())),
            (Wish::Verbosity, "verbosity", self.verbosity.is_some_and(|word| word != "medium")),
            (Wish::Tier, "service_tier", self.tier.is_some_and(|word| word != "auto")),
            (Wish::Allowed, "tool_choice.allowed_tools", !self.allowed.is_empty()),
            (Wish::User, "user", self.user.is_some()),
            (Wish::Object, "response_format", matches!(self.shape, Shape::Object)),
        ];
        for (wish, name, wished) in wishes {
            if wished && !has.contains(&wish) {
                lost.add(name);
            }
        }
    }

    /// The stop sequences that a format takes; that it does not take all is noted.
    pub(crate) fn stop_where(&self, is_taken: impl Fn(&str) -> bool, lost: &mut Lost) -> Vec<&'b str> {
        let taken: Vec<&str> = self.stop.iter().copied().filter(|one| is_taken(one)).collect();
        if taken.len() < self.stop.len() {
            lost.add("stop");
        }
        taken
    }

    /// Writes the members that the client's format does not know, but for those that the target's writer has to say
    /// itself: they would be said twice, or ask for more than what was reserved.
    pub(crate) fn write_rest(&self, owned: &[&str], lost: &mut Lost, e: &mut Emit<'_>) {
        for (name, value) in &self.rest {
            if owned.contains(name) {
                lost.add("unknown");
            } else {
                e.key(name).value(*value);
            }
        }
    }

    /// The member `name` that only another provider's format knows, given all the same.
    pub(crate) fn extra(&self, name: &str) -> Option<Value<'t, 'b>> {
        self.rest.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }
}

/// What a client may wish for and not every format can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Choices,
    Logprobs,
    Penalties,
    Seed,
    TopK,
    Notes,
    Verbosity,
    Tier,
    Allowed,
    User,
    Object,
}

/// Who says what.
pub(crate) struct Turn<'t, 'b> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part<'t, 'b>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    /// Who also gives the results of tools.
    User,
    Assistant,
}

/// A tool that the model may call.
pub(crate) enum Tool<'t, 'b> {
    Function(Function<'t, 'b>),
    /// In the words of some provider, of the client's own or not.
    Foreign(Value<'t, 'b>),
}

/// A tool that the client runs.
#[derive(Default)]
pub(crate) struct Function<'t, 'b> {
    pub(crate) name: &'b str,
    pub(crate) description: Option<&'b str>,
    /// JSON schema of the arguments.
    pub(crate) schema: Option<Value<'t, 'b>>,
    /// Whether the arguments are held to the schema.
    pub(crate) strict: Option<bool>,
    pub(crate) cache: Option<Value<'t, 'b>>,
}

/// Which tool must be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice<'b> {
    /// None may.
    Never,
    /// As the model thinks best.
    Auto,
    /// Some tool.
    Any,
    /// This one.
    Named(&'b str),
}

/// How long the model shall think.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasoning {
    /// In a word.
    pub(crate) effort: Option<Effort>,
    /// In tokens.
    pub(crate) budget: Option<u64>,
    /// As long as the model thinks best.
    pub(crate) adaptive: bool,
    /// Whether the answer shall tell what was thought; `None` where the format does not ask.
    pub(crate) shown: Option<bool>,
}

impl Reasoning {
    /// The effort: as it is named, or what the budget comes to (the bounds are agentgateway's, read backwards). A
    /// budget of nothing names none, for a model that does not think takes no word about it; it overrules an effort.
    pub(crate) fn effort(&self) -> Option<Effort> {
        if self.is_off() {
            return self.effort.filter(|effort| *effort == Effort::None);
        }
        let of_budget = |budget| match budget {
            0 => None,
            1..2048 => Some(Effort::Low),
            2048..4096 => Some(Effort::Medium),
            _ => Some(Effort::High),
        };
        self.effort.or(self.budget.and_then(of_budget))
    }

    /// Whether the model shall not think at all.
    pub(crate) fn is_off(&self) -> bool {
        self.effort == Some(Effort::None) || self.budget == Some(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    const WORDS: [(&'static str, Effort); 7] = [
        ("none", Effort::None),
        ("minimal", Effort::Minimal),
        ("low", Effort::Low),
        ("medium", Effort::Medium),
        ("high", Effort::High),
        ("xhigh", Effort::XHigh),
        ("max", Effort::Max),
    ];

    pub(crate) fn of(word: &str) -> Option<Effort> {
        Effort::WORDS.iter().find(|(known, _)| *known == word).map(|(_, effort)| *effort)
    }

    pub(crate) fn word(self) -> &'static str {
        Effort::WORDS.iter().find(|(_, effort)| *effort == self).map_or("medium", |(word, _)| word)
    }

    /// Tokens to think with, as agentgateway has them.
    pub(crate) fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal | Effort::Low => 1024,
            Effort::Medium => 2048,
            Effort::High => 4096,
            Effort::XHigh => 8192,
            Effort::Max => 16384,
        }
    }
}

/// What the answer shall look like.
#[derive(Clone, Copy, Default)]
pub(crate) enum Shape<'t, 'b> {
    #[default]
    Text,
    /// Some JSON object.
    Object,
    /// JSON that a schema describes.
    Schema {
        /// Empty when it has none.
        name: &'b str,
        description: Option<&'b str>,
        schema: Value<'t, 'b>,
        strict: Option<bool>,
    },
}

/// Writes the schema of a function's arguments for those who demand `type: object` (Anthropic, Bedrock); OpenAI takes
/// functions without parameters and schemas without a type.
pub(crate) fn write_object_schema(parameters: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
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

/// Reads a temperature or a share of probability.
pub(crate) fn positive(name: &str, value: Value<'_, '_>) -> Result<f64, BadRequest> {
    let positive = value.f64().filter(|number| *number >= 0.0);
    positive.ok_or_else(|| BadRequest::new(name, "must be a number of at least 0"))
}

/// Reads a number of any sign.
pub(crate) fn number(name: &str, value: Value<'_, '_>) -> Result<f64, BadRequest> {
    value.f64().ok_or_else(|| BadRequest::new(name, "must be a number"))
}

/// Reads how many tokens there may be at most.
pub(crate) fn at_least_one(name: &str, value: Value<'_, '_>) -> Result<u64, BadRequest> {
    let whole = value.u64().filter(|count| *count >= 1);
    whole.ok_or_else(|| BadRequest::new(name, "must be a whole number of at least 1"))
}

/// Reads the word for how much the model shall think.
pub(crate) fn effort(name: &str, value: Value<'_, '_>) -> Result<Effort, BadRequest> {
    let words = "must be one of none, minimal, low, medium, high, xhigh, max";
    value.str().and_then(Effort::of).ok_or_else(|| BadRequest::new(name, words))
}
