//! `--name value` on the command line.

use std::path::PathBuf;
use std::str::FromStr;

/// The options given, taken out one by one.
pub(crate) struct Options {
    given: Vec<(String, String)>,
}

impl Options {
    /// Reads pairs; `None` asks for help.
    pub(crate) fn read(arguments: &[String]) -> Result<Option<Options>, String> {
        let mut given = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--help" {
                return Ok(None);
            }
            let name = argument.strip_prefix("--").ok_or(format!("{argument:?} is no option; see --help"))?;
            let value = rest.next().ok_or(format!("{argument} needs a value; see --help"))?;
            given.push((name.to_string(), value.clone()));
        }
        Ok(Some(Options { given }))
    }

    /// The value of `name` (the last, if it is there more than once), taken out.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.given.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        self.given.retain(|(other, _)| other != name);
        value
    }

    /// All values of `name`, in their order, taken out.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.given).into_iter().partition(|(other, _)| other == name);
        self.given = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// A number from `low` to `high`.
    pub(crate) fn number<T>(&mut self, name: &str, otherwise: T, low: T, high: T) -> Result<T, String>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(name) else { return Ok(otherwise) };
        match text.parse() {
            Ok(number) if number >= low && number <= high => Ok(number),
            _ => Err(format!("--{name}: {text:?} is not a number from {low} to {high}")),
        }
    }

    /// A path, if it was given.
    pub(crate) fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A path that must be given.
    pub(crate) fn needed_path(&mut self, name: &str, what: &str) -> Result<PathBuf, String> {
        self.path(name).ok_or(format!("--{name} is missing: {what}"))
    }

    /// Nothing else was given.
    pub(crate) fn end(self) -> Result<(), String> {
        match self.given.first() {
            Some((name, _)) => Err(format!("there is no --{name}; see --help")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Options::read(&words).unwrap().unwrap()
    }

    #[test]
    fn options_are_taken_and_what_is_left_is_named() {
        let mut given = options("--seconds 5 --out dir --seconds 6 --colour red");
        assert_eq!(given.number("seconds", 1, 1, 10), Ok(6));
        assert_eq!(given.number("clients", 256, 1, 1000), Ok(256));
        assert_eq!(given.needed_path("out", "where"), Ok(PathBuf::from("dir")));
        assert!(given.needed_path("tollgate", "the binary").unwrap_err().contains("the binary"));
        assert_eq!(options("--peer a --n 1 --peer b").texts("peer"), ["a", "b"]);
        assert!(given.end().unwrap_err().contains("--colour"));
        assert!(options("--n 11").number("n", 1, 1, 10).is_err());
        assert!(Options::read(&["--n".to_string()]).is_err() && Options::read(&["n".to_string()]).is_err());
        assert!(matches!(Options::read(&["--help".to_string()]), Ok(None)));
    }
}
