//! Providers of models that embed texts, each with a route to one of its models.

use super::manifests;
use tollgate_loadtest::AWS_SECRET_KEY;

pub const VERTEX: &str =
    "vertexai: {authToken: {kind: Inline, inline: ya29.token}, projectId: house-1, location: europe-west1, ";
pub const BEDROCK: &str = "bedrock: {auth: {type: Secret, secretRef: {name: aws}}, region: eu-west-1, ";
pub const KEY: &str = "authToken: {kind: SecretRef, secretRef: {name: keys}}";

/// A provider's model: the name of its route and Backend, the fields that choose its provider, its name, and the
/// texts that it takes at once.
#[derive(Clone, Copy)]
pub struct Embedder {
    pub name: &'static str,
    pub fields: &'static str,
    pub model: &'static str,
    pub texts_max: usize,
    pub target: &'static str,
}

#[rustfmt::skip]
pub const EMBEDDERS: [Embedder; 9] = [
    Embedder { name: "gemini", fields: "gemini: {KEY, ", model: "gemini-embedding-001", texts_max: 100,
        target: "/v1beta/models/gemini-embedding-001:batchEmbedContents" },
    Embedder { name: "vertex", fields: VERTEX, model: "text-embedding-005", texts_max: 250,
        target: "/v1/projects/house-1/locations/europe-west1/publishers/google/models/text-embedding-005:predict" },
    Embedder { name: "vertex2", fields: VERTEX, model: "gemini-embedding-2", texts_max: 1,
        target: "/v1/projects/house-1/locations/europe-west1/publishers/google/models/gemini-embedding-2:embedContent" },
    Embedder { name: "titan", fields: BEDROCK, model: "amazon.titan-embed-text-v2:0", texts_max: 1,
        target: "/model/amazon.titan-embed-text-v2%3A0/invoke" },
    Embedder { name: "titan1", fields: BEDROCK, model: "amazon.titan-embed-text-v1", texts_max: 1,
        target: "/model/amazon.titan-embed-text-v1/invoke" },
    Embedder { name: "cohere", fields: BEDROCK, model: "cohere.embed-multilingual-v3", texts_max: 96,
        target: "/model/cohere.embed-multilingual-v3/invoke" },
    Embedder { name: "cohere4", fields: BEDROCK, model: "us.cohere.embed-v4:0", texts_max: 96,
        target: "/model/us.cohere.embed-v4%3A0/invoke" },
    Embedder { name: "nova", fields: BEDROCK, model: "amazon.nova-2-multimodal-embeddings-v1:0", texts_max: 1,
        target: "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke" },
    Embedder { name: "openai", fields: "openai: {KEY, ", model: "text-embedding-3-small", texts_max: 2048,
        target: "/v1/embeddings" },
];

/// Those that no client of OpenAI's passes to natively.
pub fn foreign() -> impl Iterator<Item = Embedder> {
    EMBEDDERS.into_iter().filter(|host| host.name != "openai")
}

pub fn embedder(name: &str) -> Embedder {
    EMBEDDERS.into_iter().find(|one| one.name == name).expect("an embedder")
}

impl Embedder {
    pub fn llm(self) -> String {
        format!("{}model: \"{}\"}}", self.fields.replace("KEY", KEY), self.model)
    }

    pub fn path(self, client: &str) -> String {
        format!("/to-{}{client}", self.name)
    }

    /// What a vector of the text at `index` is to say, with the script's numbers.
    pub fn vector(self, index: usize) -> String {
        match self.name {
            "openai" => "[-0.0125,-0.0125,-0.0125,-0.0125]".to_owned(),
            _ => format!("[{index},-0.0125,5.323092E-4,0.041551947593688965]"),
        }
    }
}

/// A Backend with this under `llm`, and a route to it below `/to-NAME`.
pub fn backend(name: &str, llm: &str, annotations: &str) -> String {
    format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: to-{name}, namespace: llm}}\nspec:\n  \
         type: AI\n  ai: {{{llm}}}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: \
         to-{name}, namespace: llm{annotations}}}\nspec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{type: \
         PathPrefix, value: /to-{name}}}}}]\n    filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, \
         replacePrefixMatch: /}}}}}}]\n    backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: to-{name}}}]\n"
    )
}

/// The manifests of a gateway with a route `to-NAME` to each of [`EMBEDDERS`], and what else `more` says.
pub fn embedders(more: &str) -> String {
    let backends = EMBEDDERS.iter().map(|host| backend(host.name, &format!("llm: {{{}}}", host.llm()), ""));
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: aws, namespace: llm}}\nstringData: {{accessKey: AKIASIM, \
         secretKey: {AWS_SECRET_KEY}}}\n"
    );
    manifests(&(backends.collect::<String>() + &secret + more))
}
