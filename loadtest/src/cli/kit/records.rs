//! Access records as tollgate wrote them.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The last part of its path that is a number: `/c/17`, `/c/17/v1/messages`.
    pub(crate) tag: u64,
    /// The month that it is of, as `2026-01`.
    pub(crate) month: String,
    /// When its head had arrived, and how long it took.
    pub(crate) time_unix_ms: u64,
    pub(crate) duration_us: u64,
    pub(crate) status: u64,
    pub(crate) streamed: bool,
    pub(crate) outcome: String,
    /// `reported`, `counted` or `none`.
    pub(crate) source: String,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) limits: Vec<Decision>,
}

#[cfg(test)]
impl Record {
    /// Of an exchange that completed and whose usage was reported.
    pub(crate) fn completed(tag: u64, (input, output): (u64, u64), limits: Vec<Decision>) -> Record {
        Record {
            tag,
            month: String::new(),
            time_unix_ms: 0,
            duration_us: 0,
            status: 200,
            streamed: false,
            outcome: "completed".into(),
            source: "reported".into(),
            input,
            output,
            limits,
        }
    }
}

/// What a limit said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) rule: String,
    pub(crate) admitted: bool,
    pub(crate) reserved: u64,
    pub(crate) settled: u64,
    /// After settlement, or when it refused.
    pub(crate) balance_after: i64,
}

impl Record {
    /// What the limit whose name ends so said.
    pub(crate) fn decision(&self, rule: &str) -> Option<&Decision> {
        self.limits.iter().find(|decision| decision.rule.rsplit('/').next() == Some(rule))
    }

    /// No limit refused it.
    pub(crate) fn is_admitted(&self) -> bool {
        !self.limits.is_empty() && self.limits.iter().all(|decision| decision.admitted)
    }

    fn of(json: &Value) -> Option<Record> {
        let number = |value: &Value| value.as_u64();
        let decisions = json["limits"].as_array()?.iter().map(|limit| {
            Some(Decision {
                rule: limit["rule"].as_str()?.to_string(),
                admitted: limit["admitted"].as_bool()?,
                reserved: number(&limit["reserved"])?,
                settled: number(&limit["settled"])?,
                balance_after: limit["balance_after"].as_i64()?,
            })
        });
        Some(Record {
            tag: tag(json)?,
            month: json["time"].as_str()?.get(..7)?.to_string(),
            time_unix_ms: unix_ms(json["time"].as_str()?)?,
            duration_us: number(&json["duration_us"])?,
            status: json["status"].as_u64().unwrap_or(0),
            streamed: json["streamed"].as_bool()?,
            outcome: json["outcome"].as_str()?.to_string(),
            source: json["usage"]["source"].as_str()?.to_string(),
            input: number(&json["usage"]["input"])?,
            output: number(&json["usage"]["output"])?,
            limits: decisions.collect::<Option<Vec<Decision>>>()?,
        })
    }
}

/// All records of a file. A last line without its end is left out: a process that was killed had begun it.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, String> {
    let text = fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    parse(&text)
}

/// As [`read`], without the records of requests that bear no number: those that could not be read, or had no route.
pub(crate) fn read_numbered(path: &Path) -> Result<Vec<Record>, String> {
    let text = fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let is_numbered =
        |line: &&str| serde_json::from_str::<Value>(line).map_or(true, |json| tag(&json).is_some());
    let lines = text.split_inclusive('\n').filter(|line| is_numbered(&line.trim_end()));
    parse(&lines.collect::<String>())
}

/// The number that a request bears in its path.
fn tag(record: &Value) -> Option<u64> {
    record["path"].as_str()?.rsplit('/').find_map(|part| part.parse().ok())
}

fn parse(text: &str) -> Result<Vec<Record>, String> {
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    let one = |line: &str| {
        let json: Value = serde_json::from_str(line).map_err(|why| format!("a record: {why}: {line}"))?;
        Record::of(&json).ok_or(format!("a record lacks something: {line}"))
    };
    whole.lines().map(one).collect()
}

/// Milliseconds since 1970 of `2026-01-02T03:04:05.678Z`.
fn unix_ms(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days since 1970 by the civil calendar, years beginning in March so that the leap day is last.
    let (year, month) = if month <= 2 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-01-02T03:04:05.678Z","path":"/c/17","status":200,"streamed":true,"usage":{"source":"reported","input":5,"cached_input":0,"cache_write":0,"output":7,"reasoning":0},"limits":[{"rule":"ns/p/tokens","unit":"tokens","admitted":true,"reserved":20,"settled":12,"balance_after":-3,"retry_after_ms":0}],"duration_us":1500,"outcome":"completed"}"#;

    #[test]
    fn records_are_read_and_a_torn_last_line_is_not() {
        let records = parse(&format!("{LINE}\n{LINE}\n{{\"time\":\"20")).unwrap();
        assert_eq!(records.len(), 2);
        let record = &records[0];
        assert_eq!((record.tag, record.time_unix_ms, record.duration_us), (17, 1_767_323_045_678, 1500));
        assert_eq!((record.input, record.output, record.is_admitted()), (5, 7, true));
        let decision = record.decision("tokens").unwrap();
        assert_eq!((decision.reserved, decision.settled, decision.balance_after), (20, 12, -3));
        assert_eq!(record.month, "2026-01");
        assert!(record.decision("requests").is_none());
        assert!(parse("{}\n").is_err() && parse("x\n").is_err() && parse("").unwrap().is_empty());
    }

    #[test]
    fn times_of_the_calendar() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", Some(0)),
            ("2000-02-29T23:59:59.999Z", Some(951_868_799_999)),
            ("2026-03-01T00:00:00Z", Some(1_772_323_200_000)),
            ("2026-11-26T14:51:15.5Z", Some(1_795_704_675_500)),
            ("yesterday", None),
        ] {
            assert_eq!(unix_ms(text), ms, "{text}");
        }
    }
}
