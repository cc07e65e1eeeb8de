//! Embeddings of every provider, read by the SDKs: OpenAI's for Python asks for base64, that for JavaScript for numbers.

use super::*;
use support::{EMBEDDERS, embedders};

#[test]
fn embeddings_of_every_provider_are_read() {
    let quiet = "  records: {to: none}\n  workers: {cores: 2, pin: false}";
    let rig = Rig::start_with(script(), &embedders(""), &settings(quiet));
    let mut asked = 0;
    for host in EMBEDDERS {
        let takes_lists = host.texts_max > 1;
        let way = if takes_lists { "embeddings" } else { "embeddings-one" };
        let lengths = if takes_lists { json!([8, 8]) } else { json!([8]) };
        for (_, order) in each_language(Sdk::OpenAi, ()) {
            let report = report(Sdk::OpenAi, &rig, &host.path("/v1"), Order { way, ..order });
            let at = format!("{} {:?}: {report}", host.name, order.language);
            assert_eq!((&report["finish"], &report["usage"]), (&lengths, &json!([1_000, 0])), "{at}");
            asked += 1;
        }
        for (_, order) in each_language(Sdk::Google, ()) {
            let max_tokens = if takes_lists { 2 } else { 1 };
            let report =
                report(Sdk::Google, &rig, &host.path(""), Order { way: "embed", max_tokens, ..order });
            assert_eq!(report["finish"], lengths, "{}: {report}", host.name);
            asked += 1;
        }
    }
    assert_eq!(rig.assert_ledgers_agree().reported.input, 1_000 * asked);
}
