//! The load clients that others wrote: wrk with a script that reports in JSON, and oha.

use super::cases::Driver;
use crate::cli::kit::http;
use crate::cli::kit::process::is_program;
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The path of every request.
pub(super) const PATH: &str = "/v1/chat/completions";
/// The key of the one caller; the only one that some gateways are told of.
const KEY: &str = "sk-client";

/// What is sent again and again.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) body: String,
    pub(super) headers: Vec<(String, String)>,
    /// Callers who come in turn.
    pub(super) keys: u64,
    /// Of whom speaks TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// What a client counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Answers that came whole.
    pub(super) requests: u64,
    pub(super) duration_us: u64,
    /// Connections that failed, answers that did not come, and those that refused.
    pub(super) errors: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

/// A prepared client of one row.
pub(super) struct Client {
    driver: Driver,
    program: String,
    script: PathBuf,
    request: Request,
    cpu: u32,
    connections: u32,
}

/// Where oha is, if anywhere: below the directory of installed peers, or on PATH.
pub(super) fn program(driver: Driver, installed: &Path) -> Option<String> {
    let here = installed.join("oha/bin/oha").display().to_string();
    let candidates = match driver {
        Driver::Wrk => vec!["wrk".to_string()],
        Driver::Oha => vec![here, "oha".to_string()],
    };
    candidates.into_iter().find(|candidate| is_program(candidate))
}

impl Client {
    /// Writes the client's script; `name` tells it from others in `dir`.
    pub(super) fn prepare(
        (driver, program): (Driver, String),
        dir: &Path,
        name: &str,
        request: Request,
        cpu: u32,
        connections: u32,
    ) -> Result<Client, String> {
        let script = match driver {
            Driver::Wrk => (dir.join(format!("{name}.lua")), lua(&request)),
            Driver::Oha => (dir.join(format!("{name}.json")), request.body.clone()),
        };
        fs::write(&script.0, script.1).map_err(|why| format!("{}: {why}", script.0.display()))?;
        Ok(Client { driver, program, script: script.0, request, cpu, connections })
    }

    /// Drives one port for some time; `first` is the number of the first key.
    pub(super) fn drive(&self, port: u16, time: Duration, first: u64) -> Result<Load, String> {
        let mut command = Command::new("timeout");
        // It ends by itself; should it not, it is ended.
        command.args(["-k", "3", &(time.as_secs() + 60).to_string(), "taskset", "-c", &self.cpu.to_string()]);
        command.args([&self.program, &format!("-c{}", self.connections)]);
        let scheme = if self.request.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}{PATH}");
        match self.driver {
            Driver::Wrk => {
                command.args(["-t1", "--timeout", "30s", &format!("-d{}s", time.as_secs()), "-s"]);
                command.arg(&self.script).args([&url, "--", &first.to_string()]);
            }
            Driver::Oha => {
                command.args(["--no-tui", "--output-format", "json", &format!("-z{}s", time.as_secs())]);
                command.args(["-m", "POST", "-D"]).arg(&self.script);
                for (name, value) in self.request.lines() {
                    command.arg("-H").arg(format!("{name}: {value}"));
                }
                command.arg(&url);
            }
        }
        let output = command.output().map_err(|why| format!("{}: {why}", self.program))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let load = match self.driver {
            Driver::Wrk => of_wrk(&text),
            Driver::Oha => of_oha(&text),
        };
        load.ok_or_else(|| format!("{}: {text}{}", self.program, String::from_utf8_lossy(&output.stderr)))
    }
}

fn of_wrk(text: &str) -> Option<Load> {
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "))?;
    let value: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| value[name].as_u64();
    Some(Load {
        requests: number("requests")?,
        duration_us: number("duration_us")?,
        errors: number("errors")?,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
        max_us: number("max_us")?,
    })
}

/// Requests that were under way at the end are among oha's errors under a name of their own; they are none.
fn of_oha(text: &str) -> Option<Load> {
    let value: Value = serde_json::from_str(text).ok()?;
    let count = |map: &Value| map.as_object().map(|map| map.values().filter_map(Value::as_u64).sum::<u64>());
    let micros = |value: &Value| value.as_f64().map(|seconds| (seconds * 1e6) as u64);
    let codes = count(&value["statusCodeDistribution"])?;
    let good = value["statusCodeDistribution"]["200"].as_u64().unwrap_or(0);
    let failed = count(&value["errorDistribution"]).unwrap_or(0);
    let at_end = value["errorDistribution"]["aborted due to deadline"].as_u64().unwrap_or(0);
    Some(Load {
        requests: good,
        duration_us: micros(&value["summary"]["total"])?,
        errors: codes - good + failed - at_end,
        p50_us: micros(&value["latencyPercentiles"]["p50"])?,
        p99_us: micros(&value["latencyPercentiles"]["p99"])?,
        max_us: micros(&value["summary"]["slowest"])?,
    })
}

impl Load {
    /// Answers per second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us.max(1) as f64
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "requests": self.requests, "duration_us": self.duration_us, "errors": self.errors,
            "p50_us": self.p50_us, "p99_us": self.p99_us, "max_us": self.max_us,
        })
    }
}

impl Request {
    /// Its header lines, but for those that every client writes itself.
    fn lines(&self) -> impl Iterator<Item = (&str, String)> {
        let own =
            [("content-type", "application/json".to_string()), ("authorization", format!("Bearer {KEY}"))];
        own.into_iter().chain(self.headers.iter().map(|(name, value)| (name.as_str(), value.clone())))
    }

    /// Its bytes, of the one caller, for a client of our own.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        http::post(PATH, KEY, &lines, &self.body)
    }
}

/// A chat request of exactly `bytes` bytes, or as few as it takes. Anthropic's format demands a `max_tokens`.
pub(super) fn chat_body(bytes: usize, max_tokens: Option<u64>) -> String {
    let start = "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"";
    let end = max_tokens.map_or("\"}]}".to_string(), |max| format!("\"}}],\"max_tokens\":{max}}}"));
    let filler = bytes.saturating_sub(start.len() + end.len()).max(1);
    format!("{start}{}{end}", "Say it in a few words. ".chars().cycle().take(filler).collect::<String>())
}

/// wrk's script. With several keys each request is put together anew; with one it is always the same.
fn lua(request: &Request) -> String {
    let lines: String =
        request.lines().map(|(name, value)| format!("wrk.headers[\"{name}\"] = \"{value}\"\n")).collect();
    let rotate = match request.keys {
        0 | 1 => String::new(),
        keys => format!(
            r#"
local number, head, tail = 0, "", ""
init = function(args)
  number = tonumber(args[1])
  local whole = wrk.format()
  local from, to = whole:find("{KEY}", 1, true)
  head, tail = whole:sub(1, from - 1), whole:sub(to + 1)
end
request = function()
  number = (number + 1) % {keys}
  return head .. string.format("sk-%08d", number) .. tail
end
"#
        ),
    };
    format!(
        r#"wrk.method = "POST"
{lines}wrk.body = [[{}]]
{rotate}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {{"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"#,
        request.body
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for() {
        for bytes in [100, 1024, 100_000] {
            for max in [None, Some(64)] {
                let body = chat_body(bytes, max);
                assert_eq!(body.len(), bytes);
                assert!(serde_json::from_str::<Value>(&body).is_ok());
            }
        }
        assert!(serde_json::from_str::<Value>(&chat_body(0, None)).is_ok());
    }

    #[test]
    fn clients_are_understood() {
        let load = Load { requests: 9, duration_us: 2_000_000, errors: 1, p50_us: 3, p99_us: 4, max_us: 5 };
        let wrk = "Running 2s test\nRESULT {\"requests\":9,\"duration_us\":2000000,\"errors\":1,\"p50_us\":3,\
                   \"p99_us\":4,\"max_us\":5}\n";
        assert_eq!(of_wrk(wrk), Some(load.clone()));
        assert_eq!(load.rate(), 4.5);
        let oha = r#"{"summary":{"total":2.0,"slowest":0.000005},"latencyPercentiles":{"p50":0.000003,"p99":0.000004},
            "statusCodeDistribution":{"200":9,"429":1},"errorDistribution":{"aborted due to deadline":64}}"#;
        assert_eq!(of_oha(oha), Some(load));
        assert!(of_wrk("wrk: no such thing").is_none() && of_oha("{}").is_none());
    }

    #[test]
    fn scripts_hold_the_request() {
        let mut request = Request {
            body: chat_body(100, None),
            headers: vec![("x-a".into(), "b".into())],
            keys: 1,
            tls: None,
        };
        assert!(
            lua(&request).contains("wrk.headers[\"x-a\"] = \"b\"") && !lua(&request).contains("request =")
        );
        request.keys = 10_000;
        assert!(lua(&request).contains("% 10000"));
        let bytes = String::from_utf8(request.bytes()).unwrap();
        assert!(bytes.contains("x-a: b\r\n") && bytes.ends_with(&request.body));
    }
}
