//! Access records, as the journal writes them.

use std::hint::black_box;
use std::sync::Arc;
use tollgate::telemetry::record::bounded;
use tollgate::telemetry::{Outcome, Record, UsageCounts, UsageSource, Verdict};

/// Writes the line of an exchange that `limits` limits were asked about.
pub(crate) fn json_line(limits: i64) -> impl FnMut() {
    let client = "10.1.2.3:55000".parse().expect("an address");
    let mut record = Record::begun(1_767_323_045_678, 1, client);
    record.route.write(&"kgateway-system/chat".into());
    record.backend.write(&"kgateway-system/openai".into());
    record.key = bounded(b"0f1e2d3c");
    record.method = bounded(b"POST");
    record.set_path(b"/v1/chat/completions");
    (record.format, record.provider) = (Some("openai.chat"), Some("openai"));
    record.model_asked = bounded(b"gpt-4o-mini");
    record.model_used = bounded(b"gpt-4o-mini-2024-07-18");
    (record.status, record.outcome, record.attempts) = (200, Outcome::Completed, 1);
    record.usage = UsageCounts { input: 1200, cached_input: 1000, output: 80, ..UsageCounts::none() };
    (record.usage_source, record.cost_nano_usd) = (UsageSource::Reported, 1_234_567);
    for limit in 0..limits {
        let rule: Arc<str> = format!("kgateway-system/teams/limit-{limit}").into();
        let (reserved, settled, balance_after) = (1_500, 1_280, 98_720 + limit);
        let verdict =
            Verdict { unit: "tokens", admitted: true, reserved, settled, balance_after, retry_after_ms: 0 };
        assert!(record.decisions.note(&rule, verdict));
    }
    (record.first_byte_us, record.duration_us) = (Some(250_000), 1_750_000);
    (record.bytes_in, record.bytes_out) = (2_048, 65_536);
    let mut out = Vec::new();
    move || {
        out.clear();
        black_box(&record).json_line(&mut out);
        black_box(&out);
    }
}
