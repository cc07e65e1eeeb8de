//! Embeddings over sockets: OpenAI's and Gemini's clients with every provider that has them. Vectors arrive digit by digit
//! and in order, what was reported is settled to the token, and what goes wrong is said in the client's words.

#[path = "embeddings/books.rs"]
mod books;
#[path = "embeddings/golden.rs"]
mod golden;
#[path = "embeddings/native.rs"]
mod native;
mod support;

use serde_json::{Value, json};
use support::{
    Answer, BEDROCK, EMBEDDERS, Embedder, KEY, Rig, backend, embedder, embedders, foreign, settings,
};
use tollgate_loadtest::{Count, Fault, Script, SeenRequest};

/// A gateway with a route to each of [`EMBEDDERS`], and what else `more` says.
fn rig(script: Script, more: &str) -> Rig {
    let quiet = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    Rig::start_with(script, &embedders(more), &settings(quiet))
}

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), ..Script::default() }
}

/// The last request that the provider saw.
fn seen(rig: &Rig) -> SeenRequest {
    rig.simulator.requests().pop().expect("it came")
}

fn ask(rig: &Rig, host: Embedder, body: &Value) -> Answer {
    rig.client().ask(&host.path("/v1/embeddings"), "", &body.to_string())
}

/// So many texts, or one that stands alone.
fn input(count: usize) -> Value {
    match count {
        1 => json!("How long is a minute?"),
        _ => (0..count).map(|index| json!(format!("text {index}"))).collect(),
    }
}

/// Takes vectors of two kinds as text: all that the answer says, white space aside.
fn squeezed(answer: &Answer) -> String {
    answer.text().chars().filter(|c| !c.is_ascii_whitespace()).collect()
}

#[test]
fn every_provider_embeds_for_clients_of_openai_digit_by_digit() {
    let rig = rig(script(), "");
    let mut asked = 0;
    for host in EMBEDDERS {
        for count in [1, 2, 3, host.texts_max.min(250)] {
            if count > host.texts_max {
                continue;
            }
            // Models whose vectors have one length have no word for it.
            let takes_dimensions = !matches!(host.name, "titan1" | "cohere");
            let mut body = json!({"model": "asked", "input": input(count)});
            if takes_dimensions {
                body["dimensions"] = json!(4);
            }
            let answer = ask(&rig, host, &body);
            asked += 1;
            let what = format!("{} {count}: {}", host.name, answer.text());
            assert_eq!((answer.status, answer.complete), (200, true), "{what}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
            let heard = answer.json();
            assert_eq!(heard["object"], "list", "{what}");
            let data = heard["data"].as_array().expect("a list");
            assert_eq!(data.len(), count, "{what}");
            for (index, one) in data.iter().enumerate() {
                assert_eq!((&one["object"], &one["index"]), (&json!("embedding"), &json!(index)), "{what}");
                let length = one["embedding"].as_array().expect("numbers").len();
                assert_eq!(length, if takes_dimensions { 4 } else { 8 }, "{what}");
                if takes_dimensions {
                    assert!(squeezed(&answer).contains(&host.vector(index)), "{what}");
                }
            }
            let model = if host.name == "openai" { host.model } else { "asked" };
            assert_eq!(heard["model"], model, "{what}");
            assert_eq!(heard["usage"], json!({"prompt_tokens": 1_000, "total_tokens": 1_000}), "{what}");
            assert_eq!(seen(&rig).target, host.target, "{what}");
        }
    }
    let ledger = rig.assert_ledgers_agree();
    assert_eq!((ledger.requests, ledger.completed, ledger.refused), (asked, asked, 0));
    assert_eq!((ledger.reported.input, rig.settled().counted), (1_000 * asked, 0));
}

#[test]
fn vectors_come_as_base64_where_the_client_wants_it() {
    let rig = rig(script(), "");
    for host in foreign() {
        let count = host.texts_max.min(2);
        let body = |format: &str| json!({"model": "m", "input": input(count), "encoding_format": format});
        let (floats, coded) =
            (ask(&rig, host, &body("float")).json(), ask(&rig, host, &body("base64")).json());
        for index in 0..count {
            let numbers = floats["data"][index]["embedding"].as_array().expect("numbers").iter();
            let bytes: Vec<u8> =
                numbers.flat_map(|number| (number.as_f64().expect("f64") as f32).to_le_bytes()).collect();
            let text = coded["data"][index]["embedding"].as_str().expect("base64");
            assert_eq!(tollgate::base::base64::decode(text.as_bytes()), Some(bytes), "{}", host.name);
        }
    }
    rig.assert_ledgers_agree();
}

#[test]
fn what_a_provider_cannot_be_asked_is_refused_in_openais_words() {
    let rig = rig(script(), "");
    let rows = [
        ("gemini", json!({"input": [1, 2]}), "input", "takes no tokens as numbers"),
        ("vertex", json!({"input": [[1, 2], [3]]}), "input", "takes no tokens as numbers"),
        (
            "titan",
            json!({"input": ["a", "b"]}),
            "input",
            "one text at a time, not 2: send each in a request of its own",
        ),
        ("vertex2", json!({"input": ["a", "b"]}), "input", "one text at a time"),
        ("nova", json!({"input": ["a", "b", "c"]}), "input", "not 3"),
        ("gemini", json!({"input": input(101)}), "input", "at most 100 texts"),
        ("vertex", json!({"input": input(251)}), "input", "at most 250 texts"),
        ("cohere", json!({"input": input(97)}), "input", "at most 96 texts"),
        ("gemini", json!({"input": input(2_049)}), "input", "at most 2048 texts"),
        ("gemini", json!({"input": []}), "input", "must not be empty"),
        ("gemini", json!({"input": null}), "input", "must be given"),
        ("gemini", json!({"input": {"a": 1}}), "input", "a text or a list of texts"),
        ("cohere", json!({"input": "a", "dimensions": 256}), "dimensions", "one length"),
        ("titan1", json!({"input": "a", "dimensions": 256}), "dimensions", "one length"),
        ("cohere4", json!({"input": "a", "input_type": "image"}), "input_type", "search_document"),
        ("cohere4", json!({"input": "a", "truncate": "MIDDLE"}), "truncate", "NONE, START or END"),
        ("gemini", json!({"input": "a", "encoding_format": "hex"}), "encoding_format", "float or base64"),
        ("gemini", json!({"input": "a", "dimensions": "x"}), "dimensions", "non-negative integer"),
    ];
    for (name, mut body, param, words) in rows {
        body["model"] = json!("m");
        let answer = ask(&rig, embedder(name), &body);
        let error = &answer.json()["error"];
        assert_eq!(answer.status, 400, "{name} {param}: {error}");
        assert_eq!(error["type"], "invalid_request_error", "{name} {param}: {error}");
        assert!(error["message"].as_str().expect("text").contains(words), "{name} {param}: {error}");
        assert!(error["param"].is_null() || error["param"] == param, "{name} {param}: {error}");
    }
    assert_eq!(rig.simulator.ledger().requests, 0);
    assert_eq!(rig.settled(), support::Settled::default(), "what was not asked costs nothing");
}

#[test]
fn a_chat_model_of_bedrocks_is_no_model_of_texts() {
    let llm = format!("llm: {{{BEDROCK}model: \"amazon.nova-micro-v1:0\"}}}}");
    let rig = rig(script(), &backend("chat", &llm, ""));
    let answer = rig.client().ask("/to-chat/v1/embeddings", "", r#"{"model":"m","input":"a"}"#);
    assert_eq!(
        (answer.status, &answer.json()["error"]["param"]),
        (400, &json!("model")),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("amazon.titan-embed-text"), "{}", answer.text());
}

#[test]
fn what_a_provider_has_its_own_word_for_reaches_it() {
    let rig = rig(script(), "");
    let body = json!({"model": "m", "input": ["a"], "input_type": "search_query", "truncate": "END", "dimensions": 256});
    let one = json!({"parts": [{"text": "a"}]});
    for (name, sent) in [
        (
            "gemini",
            json!({"requests": [{"model": "models/gemini-embedding-001", "content": one, "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 256}]}),
        ),
        (
            "vertex",
            json!({"instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}],
                "parameters": {"outputDimensionality": 256, "autoTruncate": true}}),
        ),
        (
            "vertex2",
            json!({"content": one, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256, "autoTruncate": true}),
        ),
        ("titan", json!({"inputText": "a", "dimensions": 256})),
        (
            "cohere4",
            json!({"texts": ["a"], "input_type": "search_query", "truncate": "RIGHT", "output_dimension": 256}),
        ),
        (
            "nova",
            json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "TEXT_RETRIEVAL",
                "embeddingDimension": 256, "text": {"truncationMode": "END", "value": "a"}}}),
        ),
    ] {
        let answer = ask(&rig, embedder(name), &body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let body: Value = serde_json::from_slice(&seen(&rig).body).expect("JSON");
        assert_eq!(body, sent, "{name}");
    }
    let plain = json!({"model": "m", "input": "a"});
    ask(&rig, embedder("cohere"), &plain);
    let body: Value = serde_json::from_slice(&seen(&rig).body).expect("JSON");
    assert_eq!(body, json!({"texts": ["a"], "input_type": "search_document"}), "Cohere wants to be told one");
}

#[test]
fn errors_of_each_provider_are_told_in_the_clients_words_and_cost_nothing() {
    let rig = rig(script(), "");
    for host in EMBEDDERS {
        for (status, kind) in
            [(400, "invalid_request_error"), (429, "rate_limit_error"), (503, "server_error")]
        {
            rig.simulator.set_script(Script { fault: Fault::Status(status), ..script() });
            let answer = ask(&rig, host, &json!({"model": "m", "input": "a"}));
            let error = &answer.json()["error"];
            assert_eq!((answer.status, answer.complete), (status, true), "{}", host.name);
            let own = host.name == "openai" && status == 429;
            assert_eq!(error["type"], if own { "requests" } else { kind }, "{}: {error}", host.name);
            assert!(error["message"].is_string(), "{}: {error}", host.name);
        }
    }
    assert_eq!(rig.settled(), support::Settled::default());
}
