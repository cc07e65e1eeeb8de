//! Who is measured: gateways, where their binaries are, and how their templates are filled in.

use super::cases::Setup;
use crate::cli::kit::process::{first_line, is_program};
use std::fs;
use std::path::{Path, PathBuf};

/// What a gateway does with a chat request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Passes its bytes on.
    Forward,
    /// Reads it.
    Gateway,
    /// tollgate itself.
    Tollgate,
    /// tollgate with its sockets on epoll: the same program but for that.
    Control,
}

/// The control build's name, and what its version ends with.
pub(super) const CONTROL: &str = "tollgate-epoll";
const CONTROL_VERSION: &str = "+epoll";

/// A gateway that the kit knows how to install: `loadtest/peers/NAME` has its `command`, its `install` and a template
/// for each setup.
struct Known {
    name: &'static str,
    kind: Kind,
    /// Below the directory it was installed into, or on PATH.
    binary: &'static str,
    setups: &'static [Setup],
}

#[rustfmt::skip]
const KNOWN: [Known; 8] = [
    Known { name: "nginx",     kind: Kind::Forward, binary: "nginx",                       setups: BULK },
    Known { name: "haproxy",   kind: Kind::Forward, binary: "haproxy",                     setups: SECURE },
    Known { name: "envoy",     kind: Kind::Forward, binary: "venv/bin/envoy",              setups: PLAIN },
    Known { name: "pingora",   kind: Kind::Forward, binary: "build/release/pingora-peer",  setups: PLAIN },
    Known { name: "litellm",   kind: Kind::Gateway, binary: "venv/bin/litellm",            setups: ALL },
    Known { name: "portkey",   kind: Kind::Gateway, binary: "node_modules/.bin/gateway",   setups: BOTH },
    Known { name: "smg",       kind: Kind::Gateway, binary: "venv/bin/smg",                setups: &[Setup::Chat] },
    Known { name: "liter-llm", kind: Kind::Gateway, binary: "bin/liter-llm",               setups: ALL },
];
const PLAIN: &[Setup] = &[Setup::Plain];
const SECURE: &[Setup] = &[Setup::Plain, Setup::Tls];
const BULK: &[Setup] = &[Setup::Plain, Setup::Tls, Setup::Bulk];
const BOTH: &[Setup] = &[Setup::Chat, Setup::Translated];
const ALL: &[Setup] = &[Setup::Chat, Setup::Translated, Setup::Limits];

/// The names of all peers that the kit knows.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

/// A gateway that can be started.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) binary: String,
    /// Its first line is the version, as whoever installed it wrote it down; without it the binary is asked.
    version: Option<PathBuf>,
    setups: Vec<Setup>,
    /// Where its `command` and its templates are.
    home: PathBuf,
    /// The one template of a gateway that the kit does not know, and its port.
    own: Option<(PathBuf, u16)>,
}

/// What the marks of a template stand for: `@PORT@` and so on.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(Vec<(&'static str, String)>);

/// What a gateway is started with.
#[derive(Clone, Debug, Default)]
pub(super) struct Rendered {
    pub(super) command: Vec<String>,
    /// Lines that its requests must have.
    pub(super) headers: Vec<(String, String)>,
    /// Configurations that were written.
    pub(super) files: Vec<PathBuf>,
}

impl Contender {
    /// tollgate itself.
    pub(super) fn tollgate(binary: &Path, home: &Path) -> Contender {
        Contender {
            name: "tollgate".into(),
            kind: Kind::Tollgate,
            binary: binary.display().to_string(),
            version: None,
            setups: vec![
                Setup::Plain,
                Setup::Chat,
                Setup::Translated,
                Setup::Limits,
                Setup::Tls,
                Setup::Bulk,
            ],
            home: home.join("tollgate"),
            own: None,
        }
    }

    /// tollgate's control build. Anything else under its name would make the comparison a wrong one.
    pub(super) fn control(binary: &Path, home: &Path) -> Result<Contender, String> {
        let control =
            Contender { name: CONTROL.into(), kind: Kind::Control, ..Contender::tollgate(binary, home) };
        match control.says_version() {
            version if version.ends_with(CONTROL_VERSION) => Ok(control),
            version => {
                let binary = binary.display();
                Err(format!("{CONTROL} was not measured: {binary} is no control build, it says {version:?}"))
            }
        }
    }

    /// A peer that was installed below `installed`, or is on PATH.
    pub(super) fn known(name: &str, home: &Path, installed: &Path) -> Result<Contender, String> {
        let known = KNOWN.iter().find(|known| known.name == name);
        let known = known
            .ok_or_else(|| format!("there is no peer {name:?}; known are {:?}", Vec::from_iter(names())))?;
        let here = installed.join(name).join(known.binary);
        let binary = if here.is_file() { here.display().to_string() } else { known.binary.to_string() };
        if !is_program(&binary) {
            let log = fs::read_to_string(installed.join(format!("{name}.log"))).unwrap_or_default();
            let last = log.lines().last().unwrap_or("loadtest/run installs it");
            return Err(format!("{name} was not measured: {} is not there: {last}", here.display()));
        }
        Ok(Contender {
            name: name.into(),
            kind: known.kind,
            binary,
            version: Some(installed.join(name).join("version")),
            setups: known.setups.to_vec(),
            home: home.join(name),
            own: None,
        })
    }

    /// `name=binary,config,port`: any other gateway that speaks OpenAI chat. Where the name ends in `limits`, it has its
    /// turns among those with limits. A file `command` beside the configuration says how it is started.
    pub(super) fn given(text: &str) -> Result<Contender, String> {
        let wrong = || format!("--peer: {text:?} is not name=binary,config,port");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let [binary, config, port] = rest.split(',').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let port = port.parse().map_err(|_| wrong())?;
        let config = PathBuf::from(config);
        if !is_program(binary) || !config.is_file() {
            return Err(format!("{name} was not measured: {binary} or {} is not there", config.display()));
        }
        Ok(Contender {
            name: name.to_string(),
            kind: Kind::Gateway,
            binary: binary.to_string(),
            version: None,
            setups: vec![if name.ends_with("limits") { Setup::Limits } else { Setup::Chat }],
            home: config.parent().map(Path::to_path_buf).unwrap_or_default(),
            own: Some((config, port)),
        })
    }

    /// tollgate, in whichever build: its faults are ours, and it has an admin endpoint.
    pub(super) fn is_tollgate(&self) -> bool {
        matches!(self.kind, Kind::Tollgate | Kind::Control)
    }

    pub(super) fn can(&self, setup: Setup) -> bool {
        self.setups.contains(&setup)
    }

    /// It can have limits, or whoever gave it may have given it twice, with limits and without.
    pub(super) fn may_limit(&self) -> bool {
        self.can(Setup::Limits) || self.own.is_some()
    }

    /// What it is called in a table.
    pub(super) fn label(&self, setup: Setup) -> String {
        let limits = if setup == Setup::Limits && self.own.is_none() { " limits" } else { "" };
        format!("{}{limits}", self.name)
    }

    /// The port that it insists on.
    pub(super) fn own_port(&self) -> Option<u16> {
        self.own.as_ref().map(|(_, port)| *port)
    }

    /// What it says about its version.
    pub(super) fn says_version(&self) -> String {
        let noted = self.version.as_ref().and_then(|path| fs::read_to_string(path).ok());
        match noted {
            Some(text) => text.lines().next().unwrap_or("unknown").trim().to_string(),
            None => first_line(&self.binary, &["--version"]),
        }
    }

    /// Fills in everything, writes the configuration into `dir`, which must be absolute, and says how to start it.
    pub(super) fn render(&self, setup: Setup, values: Values, dir: &Path) -> Result<Rendered, String> {
        let fail = |why: std::io::Error| format!("{}: {why}", self.name);
        let mut values = values.and("BINARY", &self.binary).and("DIR", dir.display());
        let mut rendered = Rendered::default();
        for template in self.templates(setup)? {
            let text = values.fill(&fs::read_to_string(&template).map_err(fail)?)?;
            if template.extension().is_some_and(|extension| extension == "headers") {
                let lines = text.lines().filter_map(|line| line.split_once(": "));
                rendered.headers = lines.map(|(name, value)| (name.to_string(), value.to_string())).collect();
            } else if let Some(name) = template.file_name() {
                let path = dir.join(name);
                fs::write(&path, text).map_err(fail)?;
                values = values.and("CONFIG", path.display());
                rendered.files.push(path);
            }
        }
        let command = fs::read_to_string(self.home.join("command"));
        let command = values.fill(&command.unwrap_or("@BINARY@ @CONFIG@".into()))?;
        rendered.command = command.split_whitespace().map(String::from).collect();
        Ok(rendered)
    }

    /// The templates of a setup, the configuration itself last: `chat.yaml` after `chat.resources.yaml`. What forwards
    /// has one for all but TLS.
    fn templates(&self, setup: Setup) -> Result<Vec<PathBuf>, String> {
        let stem = match &self.own {
            Some((config, _)) => config.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            None if self.kind == Kind::Forward && !setup.is_secure() => "forward".into(),
            None => setup.name().to_string(),
        };
        let files = fs::read_dir(&self.home).map_err(|why| format!("{}: {why}", self.home.display()))?;
        let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
        let mut found: Vec<String> = names.filter(|name| name.starts_with(&format!("{stem}."))).collect();
        found.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Ok(found.into_iter().map(|name| self.home.join(name)).collect())
    }
}

impl Values {
    pub(super) fn and(mut self, name: &'static str, value: impl std::fmt::Display) -> Values {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.to_string()));
        self
    }

    /// Replaces every mark; one that is left over is a mistake of the template.
    fn fill(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_string();
        for (name, value) in &self.0 {
            text = text.replace(&format!("@{name}@"), value);
        }
        match text.split('@').find(|word| is_mark(word) && text.contains(&format!("@{word}@"))) {
            Some(word) => Err(format!("@{word}@ stands for nothing here")),
            None => Ok(text),
        }
    }
}

fn is_mark(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directory of all peers.
    fn home() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
    }

    fn values() -> Values {
        ["PORT", "UPSTREAM", "ADMIN", "WORKERS", "SOCKETS", "KEEP", "ACCOUNTS"]
            .into_iter()
            .fold(Values::default(), |values, name| values.and(name, 7))
    }

    #[test]
    fn every_template_can_be_filled_in() {
        let dir = std::env::temp_dir().join(format!("tollgate-peers-test-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let known = KNOWN.iter().map(|known| Contender {
            name: known.name.into(),
            kind: known.kind,
            binary: "binary".into(),
            version: None,
            setups: known.setups.to_vec(),
            home: home().join(known.name),
            own: None,
        });
        for contender in known.chain([Contender::tollgate(Path::new("binary"), &home())]) {
            for setup in contender.setups.clone() {
                let rendered = contender.render(setup, values(), &dir).unwrap();
                assert!(rendered.command.contains(&"binary".to_string()), "{}: {rendered:?}", contender.name);
                assert!(contender.home.join("install").is_file() || contender.is_tollgate());
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn marks_are_replaced_and_strangers_found() {
        assert_eq!(values().fill("a@PORT@b@KEEP@ x@y.z \"@type\"").unwrap(), "a7b7 x@y.z \"@type\"");
        assert!(values().fill("listen @COLOUR@;").unwrap_err().contains("@COLOUR@"));
    }

    #[test]
    fn only_a_control_build_is_measured_as_one() {
        let why = Contender::control(Path::new("/bin/true"), &home()).unwrap_err();
        assert!(why.contains("tollgate-epoll was not measured: /bin/true is no control build"), "{why}");
    }

    #[test]
    fn a_given_peer_is_taken_apart() {
        let config = home().join("nginx/forward.conf").display().to_string();
        let given = Contender::given(&format!("other-limits=/bin/sh,{config},81")).unwrap();
        assert_eq!(
            (given.own_port(), given.can(Setup::Limits), given.can(Setup::Chat)),
            (Some(81), true, false)
        );
        for text in ["other", "other=/bin/sh,81", "other=/bin/sh,/nowhere/config,81", "other=/bin/sh,x,y"] {
            assert!(Contender::given(text).is_err(), "{text}");
        }
        let why = Contender::known("envoy", &home(), Path::new("/nowhere")).unwrap_err();
        assert!(why.contains("envoy was not measured"), "{why}");
        assert!(Contender::known("other", &home(), Path::new("/nowhere")).is_err());
    }
}
