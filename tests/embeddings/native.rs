//! Gemini's own clients, one content and batches: natively with Google, translated with the others.

use super::*;

const ONE: &str = "/v1beta/models/asked:embedContent";
const BATCH: &str = "/v1beta/models/asked:batchEmbedContents";

fn one(text: &str) -> Value {
    json!({"content": {"parts": [{"text": text}]}, "outputDimensionality": 4})
}

fn batch(count: usize) -> Value {
    let named = |at: usize| {
        let mut one = one(&format!("text {at}"));
        one["model"] = json!("models/asked");
        one
    };
    json!({"requests": (0..count).map(named).collect::<Vec<_>>()})
}

#[test]
fn every_provider_embeds_for_clients_of_gemini() {
    let rig = rig(script(), "");
    let mut asked = 0;
    for host in EMBEDDERS {
        let has_one_length = matches!(host.name, "titan1" | "cohere");
        if has_one_length {
            let answer = rig.client().ask(&host.path(ONE), "", &one("a").to_string());
            let error = &answer.json()["error"];
            assert_eq!((answer.status, &error["status"]), (400, &json!("INVALID_ARGUMENT")), "{error}");
            continue;
        }
        let answer = rig.client().ask(&host.path(ONE), "x-goog-api-key: theirs\r\n", &one("a").to_string());
        let what = format!("{}: {}", host.name, answer.text());
        assert_eq!(answer.status, 200, "{what}");
        let heard = answer.json();
        assert!(squeezed(&answer).contains(&host.vector(0)), "{what}");
        assert_eq!(heard["embedding"]["values"].as_array().map(Vec::len), Some(4), "{what}");
        if host.name != "gemini" {
            // At Google's own host this is another method than the one that other clients' texts go to.
            assert_eq!(seen(&rig).target, host.target, "{what}");
        }
        assert_eq!(heard["usageMetadata"]["promptTokenCount"], 1_000, "{what}");
        let count = host.texts_max.min(3);
        let answer = rig.client().ask(&host.path(BATCH), "", &batch(count).to_string());
        let what = format!("{}: {}", host.name, answer.text());
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(answer.json()["embeddings"].as_array().map(Vec::len), Some(count), "{what}");
        assert!(squeezed(&answer).contains(&host.vector(count - 1)), "{what}");
        assert_eq!(answer.json()["usageMetadata"]["promptTokenCount"], 1_000, "{what}");
        assert_eq!(seen(&rig).target, host.target, "{what}");
        asked += 2;
    }
    assert_eq!(rig.assert_ledgers_agree().reported.input, 1_000 * asked);
}

#[test]
fn what_passes_to_gemini_is_untouched_but_for_another_model() {
    let rig = rig(script(), &backend("own", &format!("llm: {{gemini: {{{KEY}}}}}"), ""));
    let exact = r#"{ "content":{"parts":[{"text":"a"}] } ,"taskType":"CLUSTERING"}"#;
    let answer = rig.client().ask(&format!("/to-own{ONE}?key=theirs"), "", exact);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((seen(&rig).target.as_str(), &seen(&rig).body[..]), (ONE, exact.as_bytes()));
    let batch = batch(2).to_string();
    let answer = rig.client().ask(&format!("/to-own{BATCH}"), "", &batch);
    assert_eq!((answer.status, &seen(&rig).body[..]), (200, batch.as_bytes()), "{}", answer.text());

    // Each request of a batch must name the model of the path, which is the Backend's.
    let answer = rig.client().ask(&embedder("gemini").path(BATCH), "", &batch);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body: Value = serde_json::from_slice(&seen(&rig).body).expect("JSON");
    assert_eq!(body["requests"][1]["model"], "models/gemini-embedding-001");
    assert_eq!(body["requests"][1]["content"], json!({"parts": [{"text": "text 1"}]}));
    rig.assert_ledgers_agree();
}

#[test]
fn an_alias_reaches_every_place_of_the_model() {
    let policy = "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a, namespace: llm}\nspec:\n  \
                  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: to-own}]\n  ai: {modelAliases: {asked: \
                  gemini-embedding-2}}\n";
    let rig = rig(script(), &(backend("own", &format!("llm: {{gemini: {{{KEY}}}}}"), "") + policy));
    for (path, body) in [(ONE, one("a")), (BATCH, batch(2))] {
        let answer = rig.client().ask(&format!("/to-own{path}"), "", &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(seen(&rig).target, path.replace("asked", "gemini-embedding-2"));
    }
    rig.assert_ledgers_agree();
}

#[test]
fn what_a_provider_cannot_be_asked_is_refused_in_geminis_words() {
    let rig = rig(script(), "");
    let image = json!({"content": {"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}});
    let mut lengths = batch(2);
    lengths["requests"][1]["outputDimensionality"] = json!(8);
    for (name, path, body, words) in [
        ("titan", BATCH, batch(2), "one text at a time"),
        ("openai", ONE, image.clone(), "content.parts[1]: must be a text"),
        ("cohere4", BATCH, json!({"requests": [image]}), "requests[0].content.parts[1]: must be a text"),
        ("openai", BATCH, lengths, "requests[1]: must have the outputDimensionality"),
        ("openai", BATCH, json!({"requests": []}), "requests: must be a list"),
        ("openai", ONE, json!({"content": {}}), "content.parts: must be a list"),
    ] {
        let answer = rig.client().ask(&embedder(name).path(path), "", &body.to_string());
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["status"]), (400, &json!("INVALID_ARGUMENT")), "{name}: {error}");
        assert!(error["message"].as_str().expect("text").contains(words), "{name}: {error}");
    }
    assert_eq!(rig.simulator.ledger().requests, 0);
}

#[test]
fn errors_of_each_provider_are_told_in_geminis_words() {
    let rig = rig(script(), "");
    rig.simulator.set_script(Script { fault: Fault::Status(429), ..script() });
    for host in EMBEDDERS {
        if matches!(host.name, "titan1" | "cohere") {
            continue;
        }
        let answer = rig.client().ask(&host.path(ONE), "", &one("a").to_string());
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["status"]), (429, &json!("RESOURCE_EXHAUSTED")), "{}", host.name);
    }
    assert_eq!(rig.settled(), support::Settled::default());
}
