//! What is measured: one table, and what is aimed at.

use super::peers::{CONTROL, Kind};

/// How a gateway is set up; the stem of its template's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// A host behind a route: bodies pass unread.
    Plain,
    /// A provider that speaks what the client speaks.
    Chat,
    /// OpenAI in front, Anthropic behind.
    Translated,
    /// As `Chat`, with limits that never refuse.
    Limits,
    /// As `Chat` to a gateway, as `Plain` to what forwards; behind TLS.
    Tls,
    /// As `Plain` behind TLS, every path of it; for `loadtest tls`.
    Bulk,
}

/// Who drives the load. A client for streams, a constant rate and mixtures has its place here: with one more kind,
/// whose turns are checked and counted like those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    Wrk,
    /// A second witness, where it is installed.
    Oha,
}

/// Who has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// tollgate, under this name in the tables.
    Tollgate(&'static str),
    /// tollgate's control build, where there is one.
    Control,
    /// All peers of a kind that can be set up so.
    Peers(Kind),
    /// Those of the gateways that have limits.
    Limiters,
    /// One peer.
    Peer(&'static str),
}

/// One line of a case's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) who: Who,
    pub(super) setup: Setup,
    /// Callers, told apart by their keys, who come in turn.
    pub(super) keys: u64,
    pub(super) workers: u32,
}

/// Rows that are measured in the same rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) driver: Driver,
    pub(super) body_bytes: usize,
    pub(super) connections: u32,
    pub(super) rows: &'static [Row],
    /// Rows that the others are compared with, round by round.
    pub(super) bases: &'static [&'static str],
}

/// What a ratio is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    /// CPU per request; the ratio shall be at most so much.
    CpuAtMost(f64),
    /// Requests per second; the ratio shall be at least so much.
    RateAtLeast(f64),
}

/// Something that is aimed at: the median of the rounds' ratios.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) case: &'static str,
    pub(super) row: &'static str,
    pub(super) base: &'static str,
    pub(super) measure: Measure,
}

const fn tollgate(name: &'static str, setup: Setup) -> Row {
    Row { who: Who::Tollgate(name), setup, keys: 1, workers: 1 }
}

const fn control(setup: Setup) -> Row {
    Row { who: Who::Control, setup, keys: 1, workers: 1 }
}

const fn peers(kind: Kind, setup: Setup) -> Row {
    Row { who: Who::Peers(kind), setup, keys: 1, workers: 1 }
}

const fn keys(name: &'static str, keys: u64) -> Row {
    Row { keys, ..tollgate(name, Setup::Limits) }
}

const fn workers(name: &'static str, workers: u32) -> Row {
    Row { workers, ..tollgate(name, Setup::Chat) }
}

const NGINX: Row = Row { who: Who::Peer("nginx"), setup: Setup::Plain, keys: 1, workers: 1 };
const BESIDE_NGINX: &[Row] = &[tollgate("tollgate", Setup::Chat), control(Setup::Chat), NGINX];
const CHAT: &[Row] = &[
    tollgate("tollgate", Setup::Chat),
    peers(Kind::Forward, Setup::Plain),
    peers(Kind::Gateway, Setup::Chat),
];

/// A case of 1 KiB over 64 connections.
const COMMON: Case = Case {
    name: "",
    title: "",
    driver: Driver::Wrk,
    body_bytes: 1 << 10,
    connections: 64,
    rows: CHAT,
    bases: &["nginx"],
};

const fn connections(name: &'static str, title: &'static str, connections: u32) -> Case {
    Case { name, title, connections, rows: BESIDE_NGINX, bases: &["nginx", CONTROL], ..COMMON }
}

pub(super) const CASES: [Case; 15] = [
    Case {
        name: "plain-1k",
        title: "Plain forwarding, 1 KiB",
        rows: &[
            tollgate("tollgate", Setup::Plain),
            control(Setup::Plain),
            peers(Kind::Forward, Setup::Plain),
        ],
        bases: &["nginx", "haproxy", CONTROL],
        ..COMMON
    },
    Case {
        name: "plain-1k-oha",
        title: "Plain forwarding, 1 KiB, driven by oha: the second witness",
        driver: Driver::Oha,
        rows: &[tollgate("tollgate", Setup::Plain), NGINX],
        ..COMMON
    },
    Case {
        name: "chat-1k",
        title: "OpenAI chat passed through, prompts of 1 KiB; forward-only proxies pass the same bytes unread",
        rows: &[
            tollgate("tollgate", Setup::Chat),
            tollgate("tollgate plain", Setup::Plain),
            control(Setup::Chat),
            peers(Kind::Forward, Setup::Plain),
            peers(Kind::Gateway, Setup::Chat),
        ],
        bases: &["nginx", "tollgate plain", CONTROL],
        ..COMMON
    },
    Case {
        name: "chat-16k",
        title: "OpenAI chat passed through, prompts of 16 KiB",
        body_bytes: 16 << 10,
        ..COMMON
    },
    Case {
        name: "chat-256k",
        title: "OpenAI chat passed through, prompts of 256 KiB",
        body_bytes: 256 << 10,
        connections: 16,
        ..COMMON
    },
    Case {
        name: "translated-1k",
        title: "OpenAI chat translated for Anthropic and back, prompts of 1 KiB",
        rows: &[
            tollgate("tollgate", Setup::Translated),
            tollgate("tollgate chat", Setup::Chat),
            peers(Kind::Gateway, Setup::Translated),
        ],
        bases: &["tollgate chat"],
        ..COMMON
    },
    Case {
        name: "limits-1k",
        title: "Limits off and on: requests, tokens, money and requests at once, by key, model and route",
        rows: &[
            tollgate("tollgate", Setup::Chat),
            tollgate("tollgate limits", Setup::Limits),
            Row { who: Who::Limiters, ..peers(Kind::Gateway, Setup::Chat) },
            Row { who: Who::Limiters, ..peers(Kind::Gateway, Setup::Limits) },
        ],
        bases: &["tollgate"],
        ..COMMON
    },
    Case {
        name: "tls-1k",
        title: "OpenAI chat behind TLS, prompts of 1 KiB; forward-only proxies pass the same bytes unread",
        rows: &[
            tollgate("tollgate", Setup::Tls),
            tollgate("in the clear", Setup::Chat),
            peers(Kind::Forward, Setup::Tls),
        ],
        bases: &["nginx", "haproxy", "in the clear"],
        ..COMMON
    },
    Case {
        name: "keys-1k",
        title: "Limits on, callers with 1, 10,000 and 1,000,000 keys",
        rows: &[keys("1 key", 1), keys("10,000 keys", 10_000), keys("1,000,000 keys", 1_000_000)],
        bases: &["1 key"],
        ..COMMON
    },
    connections("connections-1", "One connection", 1),
    connections("connections-16", "16 connections", 16),
    connections("connections-256", "256 connections", 256),
    connections("connections-1024", "1,024 connections", 1024),
    connections("connections-8192", "8,192 connections", 8192),
    Case {
        name: "workers-1k",
        title: "One worker and two; where there are two CPUs, the second shares its own with load and provider",
        rows: &[workers("1 worker", 1), workers("2 workers", 2)],
        bases: &["1 worker"],
        ..COMMON
    },
];

#[rustfmt::skip]
pub(super) const TARGETS: [Target; 9] = [
    Target { case: "plain-1k",  row: "tollgate",        base: "nginx",          measure: Measure::CpuAtMost(0.8) },
    Target { case: "plain-1k",  row: "tollgate",        base: "haproxy",        measure: Measure::CpuAtMost(0.8) },
    Target { case: "chat-1k",   row: "tollgate",        base: "tollgate plain", measure: Measure::CpuAtMost(1.15) },
    Target { case: "chat-1k",   row: "tollgate",        base: "agentgateway",   measure: Measure::CpuAtMost(0.2) },
    Target { case: "chat-256k", row: "tollgate",        base: "nginx",          measure: Measure::CpuAtMost(1.2) },
    Target { case: "limits-1k", row: "tollgate limits", base: "tollgate",       measure: Measure::CpuAtMost(1.05) },
    Target { case: "limits-1k", row: "tollgate limits", base: "busbar-limits",  measure: Measure::CpuAtMost(0.2) },
    Target { case: "limits-1k", row: "tollgate limits", base: "aisix-limits",   measure: Measure::CpuAtMost(0.2) },
    Target { case: "workers-1k", row: "2 workers",      base: "1 worker",       measure: Measure::RateAtLeast(1.9) },
];

impl Setup {
    /// The stem of its template's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Setup::Plain => "plain",
            Setup::Chat => "chat",
            Setup::Translated => "translated",
            Setup::Limits => "limits",
            Setup::Tls => "tls",
            Setup::Bulk => "bulk",
        }
    }

    /// Whether it is behind TLS.
    pub(super) fn is_secure(self) -> bool {
        matches!(self, Setup::Tls | Setup::Bulk)
    }
}

impl Case {
    /// Its name fits one of the patterns, in which `*` stands for anything.
    pub(super) fn is_asked_for(&self, patterns: &[String]) -> bool {
        patterns.iter().any(|pattern| fits(pattern, self.name))
    }

    /// How long a turn is: thousands of connections take their time until all of them stand.
    pub(super) fn seconds(&self, asked: u64) -> u64 {
        asked.max(u64::from(self.connections) / 1000)
    }

    /// Files that a process has open at most: a gateway's two sides, and some of its own.
    pub(super) fn sockets(&self) -> u64 {
        u64::from(self.connections) * 2 + 1024
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_found_by_pattern() {
        for (pattern, name, yes) in [
            ("chat-1k", "chat-1k", true),
            ("chat-1k", "chat-16k", false),
            ("chat-*", "chat-16k", true),
            ("*1k", "plain-1k", true),
            ("*1k", "plain-1k-oha", false),
            ("*", "", true),
            ("c*-*6", "connections-256", true),
        ] {
            assert_eq!(fits(pattern, name), yes, "{pattern} {name}");
        }
    }

    #[test]
    fn the_table_is_sound() {
        let names: HashSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        for case in &CASES {
            assert!(
                !case.title.is_empty() && case.connections > 0 && case.body_bytes >= 1024,
                "{}",
                case.name
            );
            let own: Vec<&str> = case.rows.iter().filter_map(|row| row.own_name()).collect();
            assert!(
                !own.is_empty() && own.iter().collect::<HashSet<_>>().len() == own.len(),
                "{}",
                case.name
            );
        }
        for target in &TARGETS {
            let case = CASES.iter().find(|case| case.name == target.case).unwrap();
            assert!(case.rows.iter().any(|row| row.own_name() == Some(target.row)), "{target:?}");
        }
    }

    impl Row {
        fn own_name(&self) -> Option<&'static str> {
            match self.who {
                Who::Tollgate(name) => Some(name),
                _ => None,
            }
        }
    }
}
