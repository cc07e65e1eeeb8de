//! Routes to whole APIs: every endpoint of a provider is below one prefix, as SDKs want it.

use super::{Answer, USER_TEXT, manifests};
use serde_json::{Value, json};
use tollgate_loadtest::AWS_SECRET_KEY;

/// The model that [`Wire`]s ask for.
pub const API_MODEL: &str = "model-1";

/// The usual routes, and `/oa`, `/an`, `/ge` before the paths of OpenAI, Anthropic and Gemini.
pub fn apis(policies: &str) -> String {
    let route = |name: &str, prefix: &str, backend: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: llm}}\n\
             spec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]\n    \
             filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}]\n    \
             backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: {backend}}}]\n"
        )
    };
    let mut text = String::from(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: gemini, namespace: llm}\nspec:\n  \
         type: AI\n  ai: {llm: {gemini: {authToken: {kind: SecretRef, secretRef: {name: keys}}, apiVersion: v1beta}}}\n",
    );
    text += &route("oa", "/oa", "openai");
    text += &route("an", "/an", "anthropic");
    text += &route("ge", "/ge", "gemini");
    manifests(&(text + policies))
}

/// A Backend `name` with this under `llm`, and a route `name` to it below `/name`, a prefix that is taken off.
pub fn below(name: &str, llm: &str) -> String {
    format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
         type: AI\n  ai: {{llm: {{{llm}}}}}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: \
         {name}, namespace: llm}}\nspec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, \
         value: /{name}}}}}]\n    filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, \
         replacePrefixMatch: /}}}}}}]\n    backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: {name}}}]\n"
    )
}

/// Claude at Bedrock and at Vertex AI, Gemini at Vertex AI, and a deployment of Azure's, as [`clouds`] has them.
pub const CLOUD_MODELS: [(&str, &str); 4] = [
    ("br", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("vc", "claude-haiku-4-5@20251001"),
    ("vg", "gemini-2.5-flash"),
    ("az", "fast"),
];

/// The Backends of [`CLOUD_MODELS`] with routes below their names.
pub fn clouds() -> String {
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: aws, namespace: llm}}\nstringData: {{accessKey: AKIASIM, \
         secretKey: {AWS_SECRET_KEY}}}\n"
    );
    let token = "authToken: {kind: Inline, inline: ya29.token}";
    let backend = |(name, model): (&str, &str)| {
        let llm = match name {
            "br" => format!(
                "bedrock: {{auth: {{type: Secret, secretRef: {{name: aws}}}}, region: eu-west-1, model: \"{model}\"}}"
            ),
            "az" => format!(
                "azureopenai: {{authToken: {{kind: SecretRef, secretRef: {{name: keys}}}}, endpoint: \
                 \"https://house.openai.azure.com\", deploymentName: {model}, apiVersion: v1}}"
            ),
            _ => format!(
                "vertexai: {{{token}, projectId: house-1, location: europe-west1, apiVersion: v1, model: \"{model}\"}}"
            ),
        };
        below(name, &llm)
    };
    secret + &CLOUD_MODELS.map(backend).concat()
}

/// A format that passes natively and answers with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Responses,
    Embeddings,
    Gemini,
}

impl Wire {
    pub const ALL: [Wire; 3] = [Wire::Responses, Wire::Embeddings, Wire::Gemini];
    /// Those that generate, and can do so in a stream.
    pub const STREAMED: [Wire; 2] = [Wire::Responses, Wire::Gemini];

    /// The name of the HTTPRoute, for policies.
    pub fn route(self) -> &'static str {
        if self == Wire::Gemini { "ge" } else { "oa" }
    }

    pub fn path(self, streamed: bool) -> String {
        match (self, streamed) {
            (Wire::Responses, _) => "/oa/v1/responses".to_owned(),
            (Wire::Embeddings, _) => "/oa/v1/embeddings".to_owned(),
            (Wire::Gemini, false) => format!("/ge/v1beta/models/{API_MODEL}:generateContent"),
            (Wire::Gemini, true) => format!("/ge/v1beta/models/{API_MODEL}:streamGenerateContent?alt=sse"),
        }
    }

    pub fn body(self, streamed: bool) -> String {
        let body = match self {
            Wire::Responses if streamed => json!({"model": API_MODEL, "input": USER_TEXT, "stream": true}),
            Wire::Responses => json!({"model": API_MODEL, "input": [{"role": "user", "content": USER_TEXT}]}),
            Wire::Embeddings => json!({"model": API_MODEL, "input": USER_TEXT}),
            Wire::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": USER_TEXT}]}]}),
        };
        body.to_string()
    }

    /// Reads an answer, whole or streamed.
    pub fn read(self, answer: &Answer) -> Heard {
        let media = answer.header("content-type").unwrap_or_default();
        let mut heard = Heard::default();
        if !media.starts_with("text/event-stream") {
            heard.take(self, &answer.json(), false);
            return heard;
        }
        for line in answer.text().lines().filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)) {
            heard.take(self, &serde_json::from_str(&line).expect("JSON"), true);
        }
        heard
    }
}

/// What an answer says, the same for all of [`Wire`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub text: String,
    pub thinking: String,
    /// Name and arguments of a call.
    pub call: (String, String),
    pub model: String,
    /// `completed`, `STOP` and their like.
    pub finish: String,
    /// Input, of it cached, output, of it reasoning.
    pub usage: Option<[u64; 4]>,
    pub error: bool,
}

impl Heard {
    fn take(&mut self, wire: Wire, value: &Value, is_event: bool) {
        match wire {
            Wire::Responses if is_event => self.take_event(value),
            Wire::Responses => self.take_response(value),
            Wire::Embeddings => {
                self.model = text(&value["model"]);
                self.finish = value["data"].as_array().map_or(String::new(), |list| list.len().to_string());
                self.usage = value["usage"]["prompt_tokens"].as_u64().map(|input| [input, 0, 0, 0]);
                self.error = value["error"].is_object();
            }
            Wire::Gemini => self.take_gemini(value),
        }
    }

    fn take_event(&mut self, event: &Value) {
        match event["type"].as_str().expect("a type") {
            "response.output_text.delta" => self.text += &text(&event["delta"]),
            "response.reasoning_summary_text.delta" => self.thinking += &text(&event["delta"]),
            "response.function_call_arguments.delta" => self.call.1 += &text(&event["delta"]),
            "response.output_item.added" => self.call.0 += &text(&event["item"]["name"]),
            "response.completed" | "response.incomplete" => {
                let said = Heard { usage: None, ..self.clone() };
                self.take_response(&event["response"]);
                // What was said came in the deltas; a stream that ended early does not repeat it.
                *self = Heard {
                    model: self.model.clone(),
                    finish: self.finish.clone(),
                    usage: self.usage,
                    error: self.error,
                    ..said
                };
            }
            "error" => self.error = true,
            _ => {}
        }
    }

    fn take_response(&mut self, response: &Value) {
        self.error |= response["error"].is_object();
        self.model = text(&response["model"]);
        self.finish = text(&response["status"]);
        for item in response["output"].as_array().into_iter().flatten() {
            self.text += &text(&item["content"][0]["text"]);
            self.thinking += &text(&item["summary"][0]["text"]);
            self.call.0 += &text(&item["name"]);
            self.call.1 += &text(&item["arguments"]);
        }
        let usage = &response["usage"];
        self.usage = usage["input_tokens"].as_u64().map(|input| {
            let cached = count(&usage["input_tokens_details"]["cached_tokens"]);
            let reasoning = count(&usage["output_tokens_details"]["reasoning_tokens"]);
            [input, cached, count(&usage["output_tokens"]), reasoning]
        });
    }

    fn take_gemini(&mut self, chunk: &Value) {
        self.error |= chunk["error"].is_object();
        let candidate = &chunk["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            let said = if part["thought"] == true { &mut self.thinking } else { &mut self.text };
            *said += &text(&part["text"]);
            if part["functionCall"].is_object() {
                self.call = (text(&part["functionCall"]["name"]), part["functionCall"]["args"].to_string());
            }
        }
        self.finish += &text(&candidate["finishReason"]);
        if chunk["modelVersion"].is_string() {
            self.model = text(&chunk["modelVersion"]);
        }
        let usage = &chunk["usageMetadata"];
        if let Some(prompt) = usage["promptTokenCount"].as_u64() {
            let thoughts = count(&usage["thoughtsTokenCount"]);
            let input = prompt + count(&usage["toolUsePromptTokenCount"]);
            let output = count(&usage["candidatesTokenCount"]) + thoughts;
            self.usage = Some([input, count(&usage["cachedContentTokenCount"]), output, thoughts]);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
