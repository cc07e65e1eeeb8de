//! Exact token counts of a request's text, with the vocabularies that OpenAI's models use.
//!
//! This is off the fast path and only for routes that ask for it. Counting took 30 microseconds per KiB of JSON and
//! prose on a small host, and 340 for a long run of one character; estimating from bytes takes none. The
//! vocabulary is unpacked at its first use, which takes up to 80 ms and keeps 24 MiB (`o200k_base`) or 16 MiB
//! (`cl100k_base`): [`Tokenizer::warm`] is for a thread that may wait.

use super::Format;
use super::translate::emit::compact;
use super::translate::read::{Decoder, Kind, Value};
use crate::base::Tokens;
use tiktoken::CoreBpe;

/// Which vocabulary texts are split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// GPT-4o, GPT-4.1, GPT-5 and the o series.
    O200kBase,
    /// GPT-4 and GPT-3.5.
    Cl100kBase,
}

/// The most bytes of text that are counted: some 8 ms. Whoever has more is better served by an estimate, which is the
/// closer the longer a text is.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

impl Tokenizer {
    /// All of them.
    pub const ALL: [Tokenizer; 2] = [Tokenizer::O200kBase, Tokenizer::Cl100kBase];

    /// The name that OpenAI gave it, which is used in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Tokenizer::O200kBase => "o200k_base",
            Tokenizer::Cl100kBase => "cl100k_base",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Tokenizer> {
        Tokenizer::ALL.into_iter().find(|tokenizer| tokenizer.name() == name)
    }

    /// Unpacks the vocabulary if it has not been yet, so that no request has to wait for it.
    pub fn warm(self) {
        let _ = self.text("");
    }

    /// Tokens of one text, whatever it looks like: nothing in it is a special token.
    pub fn text(self, text: &str) -> Option<Tokens> {
        Some(tiktoken::get_encoding(self.name())?.count(text) as Tokens)
    }

    /// Input tokens of a request in the client's format, as OpenAI's cookbook counts them ("How to count tokens with
    /// tiktoken"): its texts and what a model's own marks add. Media are not counted; they are to be added as
    /// [`estimate`](super::estimate) does.
    ///
    /// For conversations of text it is what OpenAI bills for GPT-3.5 to GPT-4.1, and one token off for its reasoning
    /// models. How OpenAI writes out tools and calls is known by measuring only: GPT-3.5 to GPT-4.1 are mostly met within
    /// ten percent, GPT-5 adds some 80 tokens that are not counted here. For other models it is an estimate.
    ///
    /// `None` when the body is no request (a JSON object with messages), holds more text than [`TEXT_BYTES_MAX`], or is
    /// in a format without messages, of which nobody has published how to count them.
    pub fn count(self, client: Format, body: &[u8]) -> Option<Tokens> {
        if !matches!(client, Format::OpenAiChat | Format::AnthropicMessages) {
            return None;
        }
        let mut counter = Counter {
            encoding: tiktoken::get_encoding(self.name())?,
            tokens: 0,
            bytes_left: TEXT_BYTES_MAX,
            function_tokens: if self == Tokenizer::O200kBase { 7 } else { 10 },
        };
        Decoder::default()
            .decode(&mut body.to_vec(), |request| counter.request(client, request))
            .flatten()?;
        Some(counter.tokens)
    }
}

/// Marks around each message, and those that begin the answer.
const MESSAGE_TOKENS: Tokens = 3;
const PRIMING_TOKENS: Tokens = 3;
/// A name beside the role.
const NAME_TOKENS: Tokens = 1;
/// Around all tools; before the properties of an object; before each of them; before each value of an enumeration, but
/// for the first.
const TOOLS_TOKENS: Tokens = 12;
const PROPERTIES_TOKENS: Tokens = 3;
const PROPERTY_TOKENS: Tokens = 3;
const VALUE_TOKENS: Tokens = 3;
/// Around a call of a tool, which the cookbook leaves out: measured with GPT-4o and GPT-3.5.
const CALL_TOKENS: Tokens = 7;

struct Counter {
    encoding: &'static CoreBpe,
    tokens: Tokens,
    /// How much more text may be counted.
    bytes_left: usize,
    /// Around each tool.
    function_tokens: Tokens,
}

/// What counts returns `None` when there is too much text.
impl Counter {
    fn request(&mut self, client: Format, request: Value<'_, '_>) -> Option<()> {
        let messages = request.get("messages").filter(|messages| messages.is_array())?;
        if let Some(system) = request.get("system") {
            self.message("system")?;
            self.content(system)?;
        }
        for message in messages.elements() {
            self.message(message.text("role"))?;
            if let Some(name) = message.get("name").and_then(Value::str) {
                self.tokens += NAME_TOKENS;
                self.text(name)?;
            }
            message.get("content").map_or(Some(()), |content| self.content(content))?;
            self.text(message.text("refusal"))?;
            for call in message.get("tool_calls").into_iter().flat_map(Value::elements) {
                call.get("function").map_or(Some(()), |function| self.call(function))?;
            }
            message.get("function_call").map_or(Some(()), |function| self.call(function))?;
        }
        self.tools(client, request)?;
        let format = request.get("response_format").and_then(|format| format.get("json_schema"));
        if let Some(schema) = format.and_then(|format| format.get("schema")) {
            self.text(&compact(schema))?;
        }
        self.tokens += PRIMING_TOKENS;
        Some(())
    }

    fn message(&mut self, role: &str) -> Option<()> {
        self.tokens += MESSAGE_TOKENS;
        self.text(role)
    }

    /// A string, or parts (OpenAI), or blocks (Anthropic).
    fn content(&mut self, content: Value<'_, '_>) -> Option<()> {
        if let Some(text) = content.str() {
            return self.text(text);
        }
        for part in content.elements() {
            match part.text("type") {
                "text" => self.text(part.text("text"))?,
                "refusal" => self.text(part.text("refusal"))?,
                "tool_use" => {
                    self.tokens += CALL_TOKENS;
                    self.text(part.text("name"))?;
                    part.get("input").map_or(Some(()), |input| self.text(&compact(input)))?;
                }
                "tool_result" => {
                    self.message("tool")?;
                    part.get("content").map_or(Some(()), |content| self.content(content))?;
                }
                _ => {}
            }
        }
        Some(())
    }

    fn call(&mut self, function: Value<'_, '_>) -> Option<()> {
        self.tokens += CALL_TOKENS;
        self.text(function.text("name"))?;
        self.text(function.text("arguments"))
    }

    fn tools(&mut self, client: Format, request: Value<'_, '_>) -> Option<()> {
        let before = self.tokens;
        for tool in request.get("tools").into_iter().flat_map(Value::elements) {
            match client {
                Format::OpenAiChat => {
                    tool.get("function").map_or(Some(()), |f| self.tool(f, "parameters"))?
                }
                _ => self.tool(tool, "input_schema")?,
            }
        }
        for function in request.get("functions").into_iter().flat_map(Value::elements) {
            self.tool(function, "parameters")?;
        }
        if self.tokens > before {
            self.tokens += TOOLS_TOKENS;
        }
        Some(())
    }

    fn tool(&mut self, tool: Value<'_, '_>, schema: &str) -> Option<()> {
        self.tokens += self.function_tokens;
        self.line(tool.text("name"), tool.text("description"))?;
        tool.get(schema).map_or(Some(()), |schema| self.schema(schema))
    }

    /// The properties of a JSON schema and of those inside it; as deep as the decoder lets it be.
    fn schema(&mut self, schema: Value<'_, '_>) -> Option<()> {
        let properties = || schema.get("properties").into_iter().flat_map(Value::members);
        if properties().next().is_some() {
            self.tokens += PROPERTIES_TOKENS;
        }
        for (name, property) in properties() {
            self.tokens += PROPERTY_TOKENS;
            let values = property.get("enum").into_iter().flat_map(Value::elements);
            for (at, value) in values.enumerate() {
                self.tokens += if at == 0 { 0 } else { VALUE_TOKENS };
                match value.kind() {
                    Kind::String(text) => self.text(text)?,
                    _ => self.text(&compact(value))?,
                }
            }
            self.line(&format!("{name}:{}", property.text("type")), property.text("description"))?;
            self.schema(property)?;
        }
        for inside in ["items", "additionalProperties"] {
            schema.get(inside).map_or(Some(()), |inside| self.schema(inside))?;
        }
        for inside in ["anyOf", "oneOf", "allOf"] {
            for schema in schema.get(inside).into_iter().flat_map(Value::elements) {
                self.schema(schema)?;
            }
        }
        for inside in ["$defs", "definitions"] {
            for (_, schema) in schema.get(inside).into_iter().flat_map(Value::members) {
                self.schema(schema)?;
            }
        }
        Some(())
    }

    fn line(&mut self, what: &str, description: &str) -> Option<()> {
        match description.strip_suffix('.').unwrap_or(description) {
            "" => self.text(what),
            description => self.text(&format!("{what}:{description}")),
        }
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.bytes_left = self.bytes_left.checked_sub(text.len())?;
        self.tokens += self.encoding.count(text) as Tokens;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{AnthropicMessages, OpenAiChat};
    use Tokenizer::{Cl100kBase, O200kBase};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn count(tokenizer: Tokenizer, client: Format, body: &Value) -> Option<Tokens> {
        tokenizer.count(client, body.to_string().as_bytes())
    }

    /// Published counts: the cookbook's comparison of encodings.
    #[test]
    fn texts_have_the_published_counts() {
        let rows = [
            ("", 0, 0),
            ("hello world", 2, 2),
            ("tiktoken is great!", 6, 6),
            ("antidisestablishmentarianism", 6, 6),
            ("2 + 2 = 4", 7, 7),
            ("お誕生日おめでとう", 9, 8),
        ];
        for (text, cl100k, o200k) in rows {
            let got = (Cl100kBase.text(text), O200kBase.text(text));
            assert_eq!(got, (Some(cl100k), Some(o200k)), "{text}");
        }
    }

    /// The cookbook's two examples with the counts that OpenAI's API gave for them.
    #[test]
    fn requests_have_the_published_counts() {
        let system = |name: &str, content: &str| json!({"role": "system", "name": name, "content": content});
        let jargon = json!({"messages": [
            {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
            system("example_user", "New synergies will help drive top-line growth."),
            system("example_assistant", "Things working well together will increase revenue."),
            system("example_user", "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."),
            system("example_assistant", "Let's talk later when we're less busy about how to do better."),
            {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
        ]});
        let weather = json!({
            "messages": [
                {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
                {"role": "user", "content": "What's the weather like in San Francisco?"},
            ],
            "tools": [{"type": "function", "function": weather_tool("parameters")}],
        });
        for (body, cl100k, o200k) in [(jargon, 129, 124), (weather, 105, 101)] {
            assert_eq!(count(Cl100kBase, OpenAiChat, &body), Some(cl100k));
            assert_eq!(count(O200kBase, OpenAiChat, &body), Some(o200k));
        }
    }

    fn weather_tool(schema: &str) -> Value {
        let location = json!({"type": "string", "description": "The city and state, e.g. San Francisco, CA"});
        let unit = json!({
            "type": "string",
            "description": "The unit of temperature to return",
            "enum": ["celsius", "fahrenheit"],
        });
        json!({
            "name": "get_current_weather",
            "description": "Get the current weather in a given location.",
            schema: {
                "type": "object",
                "properties": {"location": location, "unit": unit},
                "required": ["location"],
            },
        })
    }

    #[test]
    fn both_formats_count_alike() {
        let arguments = r#"{"location":"Rome"}"#;
        let openai = json!({
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "How warm is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
                    "function": {"name": "get_current_weather", "arguments": arguments}}]},
                {"role": "tool", "tool_call_id": "c", "content": "21"},
            ],
            "tools": [{"type": "function", "function": weather_tool("parameters")}],
        });
        let result =
            json!({"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "21"}]});
        let anthropic = json!({
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "How warm is it?"},
                    {"type": "image", "source": {"type": "base64", "data": "AAAA"}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "get_current_weather",
                    "input": {"location": "Rome"}}]},
                {"role": "user", "content": [result]},
            ],
            "tools": [weather_tool("input_schema")],
        });
        for tokenizer in Tokenizer::ALL {
            let (one, other) =
                (count(tokenizer, OpenAiChat, &openai), count(tokenizer, AnthropicMessages, &anthropic));
            // Anthropic's results come in a message of the user's, which has its own marks and role.
            assert_eq!(one.map(|tokens| tokens + MESSAGE_TOKENS + 1), other);
        }
    }

    #[test]
    fn every_text_that_a_model_reads_counts() {
        let user = json!({"role": "user", "content": "Hi"});
        let base = count(O200kBase, OpenAiChat, &json!({"messages": [user]})).unwrap();
        assert_eq!(base, 3 + 1 + 1 + 3);
        let nested = json!({"properties": {"hello": {"type": "array", "items": {"$ref": "x", "anyOf": [
            {"properties": {"world": {"type": "string"}}}]}}}});
        let lines = O200kBase.text("hello:array").unwrap() + O200kBase.text("world:string").unwrap();
        let rows = [
            (json!({"messages": [user, {"role": "assistant", "refusal": "No"}]}), 3 + 1 + 1),
            (
                json!({"messages": [user, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}]}),
                5,
            ),
            (
                json!({"messages": [user, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]}),
                13,
            ),
            (json!({"messages": [user], "response_format": {"json_schema": {"schema": {}}}}), 1),
            (json!({"messages": [user], "functions": [{"name": "f"}]}), 7 + 1 + 12),
            (
                json!({"messages": [user], "functions": [{"name": "f", "parameters": nested}]}),
                7 + 1 + 2 * 6 + lines + 12,
            ),
            (json!({"messages": [user], "functions": []}), 0),
            (json!({"messages": [user], "metadata": {"text": "not read"}}), 0),
        ];
        for (body, more) in rows {
            assert_eq!(count(O200kBase, OpenAiChat, &body), Some(base + more), "{body}");
        }
    }

    #[test]
    fn what_is_no_request_or_too_much_is_not_counted() {
        let much = |bytes: usize| json!({"messages": [{"content": "x ".repeat(bytes / 2)}]}).to_string();
        assert!(O200kBase.count(OpenAiChat, much(TEXT_BYTES_MAX).as_bytes()).is_some());
        for body in ["", "[]", "{}", "{", r#"{"messages":"x"}"#, &much(TEXT_BYTES_MAX + 2)] {
            assert_eq!(O200kBase.count(OpenAiChat, body.as_bytes()), None, "{:.40}", body);
        }
        assert_eq!(O200kBase.count(Format::OpenAiResponses, much(2).as_bytes()), None);
    }

    #[test]
    fn names_are_those_of_openai() {
        for (name, tokenizer) in
            [("o200k_base", Some(O200kBase)), ("cl100k_base", Some(Cl100kBase)), ("p50k", None)]
        {
            assert_eq!(Tokenizer::from_name(name), tokenizer);
            assert!(tokenizer.is_none_or(|tokenizer| tokenizer.name() == name));
        }
    }

    proptest! {
        /// A token is at least one byte.
        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            for tokenizer in Tokenizer::ALL {
                let tokens = tokenizer.text(&text).unwrap();
                prop_assert!(tokens <= text.len() as u64);
                prop_assert_eq!(tokens == 0, text.is_empty());
                let body = json!({"messages": [{"role": "user", "content": text}]});
                prop_assert_eq!(count(tokenizer, OpenAiChat, &body), Some(tokens + 7));
                prop_assert_eq!(count(tokenizer, AnthropicMessages, &body), Some(tokens + 7));
            }
        }
    }
}
