//! Everything that can go wrong on purpose.

use super::words::{parse_duration, split_word};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a connection is ended in the middle of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// An orderly end of stream.
    #[default]
    Fin,
    /// A reset: SO_LINGER 0, then close.
    Rst,
}

/// What goes wrong. The word in parentheses is the textual form, for `Script::set` and `x-sim-fault`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing (`none`).
    #[default]
    None,
    /// The provider's error of this status instead of an answer (`status:529`).
    Status(u16),
    /// A 502 with a page of HTML, as a load balancer in front of a provider sends (`html:502`).
    Html(u16),
    /// 200 and `application/json`, but the body is not JSON (`garbage`).
    GarbageJson,
    /// The connection ends before the first byte of an answer (`no-answer`, `no-answer:rst`).
    NoAnswer(Ending),
    /// The connection ends in the middle of the answer's head (`cut-in-head`, `cut-in-head:rst`).
    CutInHead(Ending),
    /// The connection ends after the head and so many events of a stream (`cut-after:3`, `cut-after:3:rst`). When the
    /// stream has fewer, the end of its framing is missing. A whole answer has two parts: up to the end of its
    /// usage, and the rest.
    CutAfterChunks(u32, Ending),
    /// The connection ends after so many bytes, head included, wherever that is (`cut-at:137`, `cut-at:137:rst`). An
    /// answer that is shorter is whole.
    CutAt(u32, Ending),
    /// Bytes that are no HTTP, drawn from this number, then the end (`nonsense:7`).
    Nonsense(u32),
    /// The connection ends when half of the body has been sent, wherever that is (`truncate`, `truncate:rst`).
    Truncate(Ending),
    /// No byte of an answer, ever (`stall`).
    Stall,
    /// So many events of a stream, then silence (`stall-after:3`).
    StallAfterChunks(u32),
    /// The body in pieces of so many bytes with a pause before each (`slow:100:5ms`).
    SlowBody {
        /// Bytes per piece.
        bytes: u32,
        /// Pause before each piece.
        gap: Duration,
    },
    /// The provider's error as an event after so many events of a stream, which then ends (`stream-error:3`).
    StreamError(u32),
    /// No usage anywhere (`no-usage`).
    NoUsage,
    /// Usage so far on every content event, as some OpenAI-compatible servers send (`usage-every`). Only the last
    /// counts.
    UsageOnEveryChunk,
    /// Usage beside an empty delta instead of an event of its own (`usage-empty-delta`).
    UsageWithEmptyDelta,
    /// `connection: close` on the answer, then the end (`close`).
    CloseAfterResponse,
    /// The end of the connection after a complete answer that did not announce it (`close-unannounced`).
    CloseUnannounced,
    /// 413 and the end, sent when the head has arrived and the body has not been read (`early`).
    EarlyAnswer,
    /// This interim answer, 100, 102 or 103, before the real one (`interim:103`).
    Interim(u16),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (word, rest) = split_word(text);
        let fault = match word {
            "none" => Fault::None,
            "status" => Fault::Status(number_within(rest, 400, 599)?),
            "html" => Fault::Html(number_within(rest, 400, 599)?),
            "garbage" => Fault::GarbageJson,
            "no-answer" => Fault::NoAnswer(ending(rest)?),
            "cut-in-head" => Fault::CutInHead(ending(rest)?),
            "cut-after" => {
                let (count, rest) = split_word(rest);
                Fault::CutAfterChunks(number(count)?, ending(rest)?)
            }
            "cut-at" => {
                let (count, rest) = split_word(rest);
                Fault::CutAt(number(count)?, ending(rest)?)
            }
            "nonsense" => Fault::Nonsense(number(rest)?),
            "truncate" => Fault::Truncate(ending(rest)?),
            "stall" => Fault::Stall,
            "stall-after" => Fault::StallAfterChunks(number(rest)?),
            "slow" => {
                let (bytes, gap) = split_word(rest);
                Fault::SlowBody { bytes: number::<u32>(bytes)?.max(1), gap: parse_duration(gap)? }
            }
            "stream-error" => Fault::StreamError(number(rest)?),
            "no-usage" => Fault::NoUsage,
            "usage-every" => Fault::UsageOnEveryChunk,
            "usage-empty-delta" => Fault::UsageWithEmptyDelta,
            "close" => Fault::CloseAfterResponse,
            "close-unannounced" => Fault::CloseUnannounced,
            "early" => Fault::EarlyAnswer,
            "interim" => match number(rest)? {
                code @ (100 | 102 | 103) => Fault::Interim(code),
                _ => return Err("interim answers are 100, 102 and 103".into()),
            },
            _ => return Err(format!("no fault is called {word:?}; see the table of Fault")),
        };
        Ok(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::None => write!(f, "none"),
            Fault::Status(status) => write!(f, "status:{status}"),
            Fault::Html(status) => write!(f, "html:{status}"),
            Fault::GarbageJson => write!(f, "garbage"),
            Fault::NoAnswer(end) => write!(f, "no-answer{end}"),
            Fault::CutInHead(end) => write!(f, "cut-in-head{end}"),
            Fault::CutAfterChunks(count, end) => write!(f, "cut-after:{count}{end}"),
            Fault::CutAt(count, end) => write!(f, "cut-at:{count}{end}"),
            Fault::Nonsense(seed) => write!(f, "nonsense:{seed}"),
            Fault::Truncate(end) => write!(f, "truncate{end}"),
            Fault::Stall => write!(f, "stall"),
            Fault::StallAfterChunks(count) => write!(f, "stall-after:{count}"),
            Fault::SlowBody { bytes, gap } => write!(f, "slow:{bytes}:{}us", gap.as_micros()),
            Fault::StreamError(count) => write!(f, "stream-error:{count}"),
            Fault::NoUsage => write!(f, "no-usage"),
            Fault::UsageOnEveryChunk => write!(f, "usage-every"),
            Fault::UsageWithEmptyDelta => write!(f, "usage-empty-delta"),
            Fault::CloseAfterResponse => write!(f, "close"),
            Fault::CloseUnannounced => write!(f, "close-unannounced"),
            Fault::EarlyAnswer => write!(f, "early"),
            Fault::Interim(code) => write!(f, "interim:{code}"),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Fin => "",
            Ending::Rst => ":rst",
        })
    }
}

fn ending(text: &str) -> Result<Ending, String> {
    match text {
        "" | "fin" => Ok(Ending::Fin),
        "rst" => Ok(Ending::Rst),
        _ => Err(format!("{text:?} is not a way to end: fin or rst")),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number that fits here"))
}

fn number_within(text: &str, low: u16, high: u16) -> Result<u16, String> {
    let value: u16 = number(text)?;
    if value < low || value > high {
        return Err(format!("{value} is not within {low} to {high}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_as_it_is_written() {
        let all = [
            Fault::None,
            Fault::Status(529),
            Fault::Html(502),
            Fault::GarbageJson,
            Fault::NoAnswer(Ending::Fin),
            Fault::CutInHead(Ending::Rst),
            Fault::CutAfterChunks(3, Ending::Rst),
            Fault::CutAfterChunks(0, Ending::Fin),
            Fault::CutAt(0, Ending::Fin),
            Fault::CutAt(137, Ending::Rst),
            Fault::Nonsense(7),
            Fault::Truncate(Ending::Fin),
            Fault::Stall,
            Fault::StallAfterChunks(7),
            Fault::SlowBody { bytes: 100, gap: Duration::from_millis(5) },
            Fault::StreamError(2),
            Fault::NoUsage,
            Fault::UsageOnEveryChunk,
            Fault::UsageWithEmptyDelta,
            Fault::CloseAfterResponse,
            Fault::CloseUnannounced,
            Fault::EarlyAnswer,
            Fault::Interim(103),
        ];
        for fault in all {
            assert_eq!(fault.to_string().parse(), Ok(fault), "{fault}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "status", "status:200", "cut-after", "cut-after:x", "truncate:up", "slow:1", "interim:101"]
        {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
