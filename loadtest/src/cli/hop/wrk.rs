//! The load client: `wrk` with a script that posts a chat request and reports in JSON.

use super::Options;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A prepared client.
pub(super) struct Wrk {
    script: PathBuf,
    cpu: u32,
    connections: u32,
}

impl Wrk {
    pub(super) fn prepare(options: &Options) -> Result<Wrk, String> {
        let script = options.out.join("chat.lua");
        fs::write(&script, lua(options.body_bytes)).map_err(|why| format!("{}: {why}", script.display()))?;
        Ok(Wrk { script, cpu: options.load_cpu, connections: options.connections })
    }

    /// Drives one port; what wrk counted. Fails when a request failed: its cost would not be comparable.
    pub(super) fn drive(&self, port: u16, time: Duration) -> Result<Value, String> {
        let output = Command::new("taskset")
            .args(["-c", &self.cpu.to_string(), "wrk", "-t1"])
            .args([format!("-c{}", self.connections), format!("-d{}s", time.as_secs())])
            .arg("-s")
            .arg(&self.script)
            .arg(format!("http://127.0.0.1:{port}/v1/chat/completions"))
            .output()
            .map_err(|why| format!("wrk: {why}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let Some(result) = line.and_then(|line| serde_json::from_str::<Value>(line).ok()) else {
            return Err(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)));
        };
        match result["errors"].as_u64() {
            Some(0) => Ok(result),
            _ => Err(format!("requests failed: {result}")),
        }
    }
}

/// A chat request of exactly `bytes` bytes, or as few as it takes.
pub(super) fn chat_body(bytes: usize) -> String {
    const START: &str = "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"";
    const END: &str = "\"}]}";
    let filler = bytes.saturating_sub(START.len() + END.len()).max(1);
    format!("{START}{}{END}", "Say it in a few words. ".chars().cycle().take(filler).collect::<String>())
}

fn lua(body_bytes: usize) -> String {
    format!(
        r#"wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer sk-client"
wrk.body = [[{}]]

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {{"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"#,
        chat_body(body_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for() {
        for bytes in [80, 1024, 100_000] {
            let body = chat_body(bytes);
            assert_eq!(body.len(), bytes);
            assert!(serde_json::from_str::<Value>(&body).is_ok());
        }
        assert!(serde_json::from_str::<Value>(&chat_body(0)).is_ok());
    }
}
