//! The command line.

use super::conditions::Output;
use super::explain::Explain;
use crate::config::Overrides;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the user wants.
#[derive(Debug)]
pub enum Command {
    /// Read this.
    Help(&'static str),
    /// The version.
    Version,
    /// Serve until told to stop.
    Run(Options),
    /// Say whether a configuration is sound and what it means, or how its resources stand.
    Check(Options, Option<Output>),
    /// Say what would become of a request.
    Explain(Explain),
    /// Let access records pass another configuration's limits.
    Replay(Replay),
    /// Show the main job on loopback.
    Demo {
        /// Keep running afterwards.
        serve: bool,
    },
}

/// Where the configuration is, and what goes before it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files, and directories whose `.yaml`, `.yml` and `.json` files are read.
    pub paths: Vec<PathBuf>,
    /// What replaces values of the Settings resource.
    pub overrides: Overrides,
    /// Whether files that change are read again without being asked.
    pub watch: bool,
    /// Where the process listens that this one is to replace.
    pub takeover: Option<PathBuf>,
}

/// What is replayed, and how it is told.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Files of access records; `-` is standard input.
    pub logs: Vec<PathBuf>,
    /// The configuration whose limits apply.
    pub options: Options,
    /// For programs: a line for each refusal, then one for the whole.
    pub json: bool,
}

const HELP: &str = "\
tollgate: an LLM gateway whose limits on tokens and money hold exactly

usage:
  tollgate run [OPTIONS] DIR-or-FILE...     serve
  tollgate check [OPTIONS] DIR-or-FILE...   validate, and print what is in force
  tollgate explain 'METHOD /path' --config DIR   say what would become of a request, without sending it to anybody
  tollgate replay LOG... --config DIR       let access records pass the limits of DIR: who would be refused, and when
  tollgate demo [--serve]                   the walkthrough on loopback: no API key, nothing to install

options of explain and replay:
  --config DIR        the configuration, a directory or a file (repeatable)
options of explain:
  -H 'name: value'    a header of the request (repeatable)
  -d BODY, -d @FILE   its body
  --port PORT         the listener, where there are several
  --admin URL         a running gateway that is asked how accounts stand (token in TOLLGATE_ADMIN_TOKEN)
  --all               tell of every rule that does not take it
options of replay (a LOG of - is standard input):
  -o table|json       for people, or a line for each refusal and one for the whole

options of run and check:
  --host NAME=URL     send what goes to the provider NAME to URL, http:// or https:// (repeatable)
  --listen PORT=ADDR  open ADDR:PORT in place of the Gateway's port PORT (repeatable)
  --roots FILE        verify providers against the certificates in this PEM file (repeatable)
  --no-watch          read files again when SIGHUP says so, and not when they change
  --admin ADDR        where /healthz, /readyz and /metrics are (default 127.0.0.1:15000), unix:PATH, or none
options of run:
  --takeover PATH     replace the process whose upgrade.socket is PATH, without refusing a connection
options of check:
  -o table|yaml|json  the conditions of every resource, as a cluster would have them in its status

signals: SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads the configuration again;
         SIGUSR2 has the program at this one's path take over (upgrade.socket in Settings)

exit codes: 0 well; 1 failed while running; 2 the configuration or this machine cannot be used";

/// Reads the arguments, without the program's name.
///
/// # Errors
/// A sentence for the user.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    read(&mut parser).map_err(|error| error.to_string())
}

fn read(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let command = match parser.next()? {
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help(HELP)),
        Some(Long("version") | Short('V')) => return Ok(Command::Version),
        Some(Value(command)) => command.string()?,
        Some(other) => return Err(other.unexpected()),
    };
    match command.as_str() {
        "run" => Ok(match options(parser, None)? {
            Some(options) => Command::Run(options),
            None => Command::Help(HELP),
        }),
        "check" => {
            let mut output = None;
            Ok(match options(parser, Some(&mut output))? {
                Some(options) => Command::Check(options, output),
                None => Command::Help(HELP),
            })
        }
        "explain" => explain(parser),
        "replay" => replay(parser),
        "demo" => demo(parser),
        "help" => Ok(Command::Help(HELP)),
        other => {
            Err(format!("there is no command {other:?}: write run, check, explain, replay or demo").into())
        }
    }
}

/// Options and paths up to the end; `None` when help is wanted. `output` is set by a command that has a choice of it.
fn options(
    parser: &mut lexopt::Parser,
    mut output: Option<&mut Option<Output>>,
) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { watch: true, ..Options::default() };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("host") => {
                let (name, url) =
                    pair("--host", "api.anthropic.com=http://127.0.0.1:18081", parser.value()?)?;
                options.overrides.hosts.push((name, url));
            }
            Long("listen") => {
                let (port, address) = pair("--listen", "8080=127.0.0.1:18080", parser.value()?)?;
                let port = port.parse().map_err(|_| format!("--listen: {port:?} is no port"))?;
                options.overrides.listeners.push((port, address));
            }
            Long("roots") => options.overrides.roots.push(parser.value()?.string()?),
            Long("no-watch") => options.watch = false,
            Long("takeover") if output.is_none() => options.takeover = Some(parser.value()?.into()),
            Short('o') | Long("output") if output.is_some() => {
                let chosen = Output::named(&parser.value()?.string()?)?;
                output.as_deref_mut().into_iter().for_each(|output| *output = Some(chosen));
            }
            Long("admin") => options.overrides.admin = Some(parser.value()?.string()?),
            Value(path) => options.paths.push(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    if options.paths.is_empty() {
        return Err("no configuration: name a directory or files, `tollgate run config/walkthrough`".into());
    }
    Ok(Some(options))
}

fn explain(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut wanted = Explain::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Command::Help(HELP)),
            Long("config") => wanted.options.paths.push(parser.value()?.into()),
            Short('H') | Long("header") => wanted.asked.headers.push(parser.value()?.string()?),
            Short('d') | Long("data") => wanted.asked.body = Some(parser.value()?.string()?),
            Long("port") => wanted.port = Some(parser.value()?.parse()?),
            Long("admin") => wanted.admin = Some(parser.value()?.string()?),
            Long("all") => wanted.all = true,
            Value(line) if wanted.asked.line.is_empty() => wanted.asked.line = line.string()?,
            other => return Err(other.unexpected()),
        }
    }
    match (wanted.asked.line.is_empty(), wanted.options.paths.is_empty()) {
        (false, false) => Ok(Command::Explain(wanted)),
        (true, _) => {
            Err("no request: `tollgate explain 'POST /anthropic' -d @body.json --config DIR`".into())
        }
        (_, true) => Err("no configuration: add --config DIR".into()),
    }
}

fn replay(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut wanted = Replay::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Command::Help(HELP)),
            Long("config") => wanted.options.paths.push(parser.value()?.into()),
            Short('o') | Long("output") => {
                wanted.json = match parser.value()?.string()?.as_str() {
                    "json" => true,
                    "table" => false,
                    other => return Err(format!("-o: {other:?} is neither table nor json").into()),
                }
            }
            Value(path) => wanted.logs.push(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    match (wanted.logs.is_empty(), wanted.options.paths.is_empty()) {
        (false, false) => Ok(Command::Replay(wanted)),
        (true, _) => Err("no records: name a log, `tollgate replay access.log --config DIR`".into()),
        (_, true) => Err("no configuration: `tollgate replay access.log --config DIR`".into()),
    }
}

fn demo(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut serve = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("serve") => serve = true,
            Long("help") | Short('h') => return Ok(Command::Help(HELP)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Demo { serve })
}

fn pair(option: &str, example: &str, value: OsString) -> Result<(String, String), lexopt::Error> {
    let value = value.string()?;
    match value.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err(format!("{option} wants NAME=VALUE, for instance {option} {example}; got {value:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn commands_and_options_are_read() {
        let line = "run --host a.b=http://127.0.0.1:1 --listen 8080=127.0.0.1:0 --roots ca.pem --admin none dir f.yaml";
        let Ok(Command::Run(options)) = parsed(line) else { panic!("a run") };
        assert_eq!(options.paths, [PathBuf::from("dir"), PathBuf::from("f.yaml")]);
        assert_eq!(options.overrides.hosts, [("a.b".to_owned(), "http://127.0.0.1:1".to_owned())]);
        assert_eq!(options.overrides.listeners, [(8080, "127.0.0.1:0".to_owned())]);
        assert_eq!((options.overrides.roots.len(), options.overrides.admin.as_deref()), (1, Some("none")));
        assert!(matches!(parsed("check -o yaml dir"), Ok(Command::Check(_, Some(Output::Yaml)))));
        assert!(matches!(parsed("check dir"), Ok(Command::Check(_, None))));
        assert!(matches!(parsed("demo --serve"), Ok(Command::Demo { serve: true })));
        assert!(matches!(parsed(""), Ok(Command::Help(_))));
        assert!(matches!(parsed("--version"), Ok(Command::Version)));
    }

    #[test]
    fn mistakes_are_answered_with_what_to_write() {
        for (line, part) in [
            ("run", "no configuration"),
            ("walk dir", "write run, check, explain, replay or demo"),
            ("run --host api.anthropic.com dir", "--host wants NAME=VALUE"),
            ("run --listen http=x dir", "is no port"),
            ("demo --port 1", "invalid option"),
            ("check dir -o xml", "\"xml\" is none of table, yaml and json"),
            ("run dir -o yaml", "invalid option"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
