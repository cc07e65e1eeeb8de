//! `loadtest suite`: what one request costs in CPU, tollgate beside other gateways.
//!
//! All gateways of a case stand before the same simulator at the same time and are driven in turns, in an order that
//! rotates from round to round, so that whatever else the machine does falls on all of them. What is compared is not
//! speed but CPU time per request, which a busy neighbour disturbs far less; and it counts only while every answer is
//! right and everybody's books agree.

mod cases;
mod check;
mod load;
mod machine;
mod outcome;
mod peers;
mod plot;
mod quick;
mod report;
mod rig;
mod stand;
pub(crate) mod tls;
mod turn;

use super::kit::gateway::end_after;
use super::kit::options::Options;
use cases::{CASES, Case};
use outcome::Outcome;
use peers::Contender;
use report::Report;
use std::path::PathBuf;
use std::time::Duration;

/// What was asked for.
struct Asked {
    tollgate: PathBuf,
    /// The control build.
    control: Option<PathBuf>,
    /// The directory of all peers' templates, and that of what was installed.
    home: PathBuf,
    installed: PathBuf,
    out: PathBuf,
    peers: Vec<String>,
    given: Vec<String>,
    cases: Vec<String>,
    rounds: usize,
    seconds: u64,
    quick: bool,
}

/// Measures, writes the results after each case, and prints the summary; an error when anything of tollgate's was not
/// right.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    if asked.quick {
        return quick::run(&asked);
    }
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.is_asked_for(&asked.cases)).collect();
    if cases.is_empty() {
        let names = CASES.map(|case| case.name).join(", ");
        return Err(format!("no case is called {:?}; there are {names}", asked.cases.join(",")));
    }
    std::fs::create_dir_all(&asked.out).map_err(|why| format!("{}: {why}", asked.out.display()))?;
    let (contenders, notes) = asked.contenders();
    end_after(cases.iter().map(|case| asked.life(case, contenders.len())).sum());
    let stand = stand::Stand::new(&asked, &contenders)?;
    let mut report = Report {
        machine: machine::describe(&contenders, &asked.installed, stand.cpus()),
        rounds: asked.rounds,
        seconds: asked.seconds,
        places: stand.places(),
        notes,
        outcomes: Vec::new(),
    };
    for case in cases {
        eprintln!("== {}: {}", case.name, case.title);
        report.outcomes.push(stand.measure(case));
        report.write(&asked.out)?;
    }
    stand.clear();
    println!("{}", report.markdown());
    verdict(&report.outcomes)
}

/// tollgate must be right; what others do wrong is said in the report.
fn verdict(outcomes: &[Outcome]) -> Result<(), String> {
    let faults = outcomes.iter().flat_map(|outcome| {
        let peers = outcome.peers.iter();
        let is_peers = move |fault: &String| peers.clone().any(|name| fault.starts_with(name.as_str()));
        let own = outcome.faults().into_iter().filter(move |fault| !is_peers(fault));
        own.map(|fault| format!("{}: {fault}", outcome.case.name))
    });
    let faults: Vec<String> = faults.collect();
    if faults.is_empty() { Ok(()) } else { Err(format!("not right:\n{}", faults.join("\n"))) }
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let rest: Vec<String> = arguments.iter().filter(|argument| *argument != "--quick").cloned().collect();
        let Some(mut options) = Options::read(&rest)? else { return Ok(None) };
        let list = |text: String| -> Vec<String> {
            text.split(',').filter(|name| !name.is_empty()).map(str::to_string).collect()
        };
        let mut path =
            |name: &str, otherwise: &str| PathBuf::from(options.text(name).unwrap_or(otherwise.into()));
        let (home, installed) = (path("home", "loadtest/peers"), path("installed", "target/peers"));
        let out = options.text("out");
        let asked = Asked {
            tollgate: options.needed_path("tollgate", "the binary to be measured")?,
            control: options.text(peers::CONTROL).map(PathBuf::from),
            home,
            installed,
            out: PathBuf::from(out.unwrap_or_default()),
            peers: match options.text("peers").as_deref() {
                None | Some("all") => peers::names().map(str::to_string).collect(),
                Some("none") => Vec::new(),
                Some(names) => list(names.to_string()),
            },
            given: options.texts("peer"),
            cases: list(options.text("cases").unwrap_or("*".into())),
            rounds: options.number("rounds", 6, 1, 100)?,
            seconds: options.number("seconds", 4, 1, 600)?,
            quick,
        };
        options.end()?;
        if asked.out.as_os_str().is_empty() && !quick {
            return Err("--out DIR is missing: where the results go".into());
        }
        Ok(Some(asked))
    }

    /// Everybody who can be measured, tollgate first; the notes say who cannot.
    fn contenders(&self) -> (Vec<Contender>, Vec<String>) {
        let known = self.peers.iter().map(|name| Contender::known(name, &self.home, &self.installed));
        let given = self.given.iter().map(|text| Contender::given(text));
        let control = self.control.iter().map(|binary| Contender::control(binary, &self.home));
        let mut contenders = vec![Contender::tollgate(&self.tollgate, &self.home)];
        let mut notes = Vec::new();
        for contender in control.chain(known).chain(given) {
            match contender {
                Ok(contender) => contenders.push(contender),
                Err(note) => notes.push(note),
            }
        }
        notes.iter().for_each(|note| eprintln!("note: {note}"));
        (contenders, notes)
    }

    /// Longer than a case can take: turns, a minute for each start, and callers who come for the first time.
    fn life(&self, case: &Case, contenders: usize) -> Duration {
        let rows = (contenders + case.rows.len() + 1) as u64;
        let turns = (self.rounds as u64 + 1) * (case.seconds(self.seconds) + 12);
        let keys: u64 = case.rows.iter().map(|row| row.keys / 5_000).sum();
        Duration::from_secs(300 + rows * (turns + 60) + keys)
    }
}

const HELP: &str = "\
loadtest suite: CPU time per request, tollgate beside other gateways, on this machine and loopback

  --tollgate PATH   the binary to be measured (needed)
  --tollgate-epoll PATH
                    its control build, whose sockets are driven by epoll: has turns in plain-1k, chat-1k, connections-N
  --out DIR         raw.json, summary.md, plots and configs/ go here (needed but for --quick)
  --cases A,B       which, `*` standing for anything (all)
  --peers A,B       peers that the kit knows, all or none (all); who is not installed is noted and left out
  --peer NAME=BINARY,CONFIG,PORT
                    another gateway; again for more. CONFIG may have marks such as @PORT@, as the templates have
  --rounds N        rounds; in each, everybody has one turn, in rotating order (6)
  --seconds N       how long a turn is (4); with thousands of connections a second for each thousand at least
  --home DIR        templates of peers (loadtest/peers)
  --installed DIR   what was installed (target/peers)
  --quick           no peers, no wrk, no times: content, ledgers and settled tokens of every setup are checked

All gateways of a case stand before the same simulated provider and keep their connections to it. A gateway has the
first CPU (the first two with two workers); client and provider have the last. CPU time is the sum over all threads of
the gateway's processes from /proc/PID/task/*/schedstat; requests are those the provider answered. In every turn the
client, the provider and, with limits, tollgate's own accounts must agree; before and after a case each gateway's answer
is compared with the provider's own. Needs wrk, taskset, setpriv and timeout on PATH. Ends everything that it started.";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Asked>, String> {
        Asked::read(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_asked_for() {
        let asked = read(
            "--tollgate t --out o --peers nginx,envoy --cases chat-*,limits-1k --peer a=b,c,1 --peer d=e,f,2",
        );
        let asked = asked.unwrap().unwrap();
        assert_eq!(
            (asked.peers, asked.given),
            (vec!["nginx".into(), "envoy".into()], vec!["a=b,c,1".into(), "d=e,f,2".into()])
        );
        assert_eq!((asked.cases.len(), asked.quick, asked.rounds), (2, false, 6));
        assert!(read("--tollgate t").is_err() && read("--out o").is_err(), "both are needed");
        assert!(read("--tollgate t --quick").unwrap().unwrap().quick);
        assert_eq!(read("--tollgate t --out o").unwrap().unwrap().control, None);
        let control = read("--tollgate t --out o --tollgate-epoll e").unwrap().unwrap().control;
        assert_eq!(control, Some(PathBuf::from("e")));
        assert!(read("--tollgate t --out o --peers none").unwrap().unwrap().peers.is_empty());
        assert!(read("--tollgate t --out o --colour red").is_err() && read("--help").unwrap().is_none());
    }

    #[test]
    fn only_tollgates_faults_fail_the_run() {
        let mut outcome = outcome::tests::outcome();
        outcome.peers = vec!["nginx".into()];
        outcome.turns[1].faults.push("2 protocol faults".into());
        assert_eq!(verdict(&[outcome.clone()]), Ok(()));
        outcome.differences.push("tollgate: another answer".into());
        assert!(verdict(&[outcome]).unwrap_err().contains("plain-1k: tollgate: another answer"));
    }
}
