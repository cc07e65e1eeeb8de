//! The admin pages: metrics and state.

use super::http::{Client, get};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The samples of `/metrics`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Reads the page.
    pub(crate) fn fetch(admin: u16) -> Result<Metrics, String> {
        fetch(admin, "/metrics").map(Metrics)
    }

    /// The sum of all samples of a family whose labels hold all of these texts; `None` without any.
    pub(crate) fn sum(&self, family: &str, labels: &[&str]) -> Option<u64> {
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(family)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let all = labels.iter().all(|label| found.contains(label));
            if all { value.trim().parse::<u64>().ok() } else { None }
        });
        samples.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
    }
}

/// `/state`.
pub(crate) fn state(admin: u16) -> Result<Value, String> {
    serde_json::from_str(&fetch(admin, "/state")?).map_err(|why| format!("/state: {why}"))
}

/// Waits until no worker has a request in flight; how many there are when the patience is at its end.
pub(crate) fn quiesce(admin: u16, patience: Duration) -> Result<u64, String> {
    let until = Instant::now() + patience;
    loop {
        let state = state(admin)?;
        let workers = state["workers"].as_array().ok_or("/state has no workers")?;
        let in_flight = workers.iter().map(|worker| worker["requests_in_flight"].as_u64());
        let in_flight = in_flight.sum::<Option<u64>>().ok_or("/state does not say what is in flight")?;
        if in_flight == 0 || Instant::now() > until {
            return Ok(in_flight);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A page of the admin port.
pub(crate) fn fetch(admin: u16, path: &str) -> Result<String, String> {
    let fail = |why: std::io::Error| format!("{path} of the admin port: {why}");
    let (head, body) = Client::to(admin).ask(&get(path, "connection: close\r\n")).map_err(fail)?;
    match head.status {
        200 => Ok(String::from_utf8_lossy(&body).into_owned()),
        status => Err(format!("{path} of the admin port: status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_labels() {
        let text =
            "# HELP a x\na{rule=\"ns/p/tokens\",unit=\"tokens\"} 5\na{rule=\"ns/p/requests\"} 7\nab 3\na 1\n";
        let metrics = Metrics(text.to_string());
        assert_eq!(metrics.sum("a", &["/tokens\""]), Some(5));
        assert_eq!(metrics.sum("a", &[]), Some(13));
        assert_eq!(metrics.sum("ab", &[]), Some(3));
        assert_eq!(metrics.sum("a", &["/cost\""]), None);
        assert_eq!(metrics.sum("b", &[]), None);
    }
}
