use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

/// The most faults that are kept; the rest are counted.
const FAULTS_MAX: usize = 200;
/// The most warnings that are kept.
const WARNINGS_MAX: usize = 200;
/// The most of either that are kept where every condition tells its own.
const CONDITIONS_FAULTS_MAX: usize = 10_000;

/// One fault or warning: where, what is wrong, what to write instead.
///
/// Shown as `config/x.yaml:12:5: unknown field "maxToken" in tokenBucket`, and below it
/// `  help: did you mean "maxTokens"?`. Values of Secrets and tokens never stand in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The name of the source, as the caller gave it.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the fault has no single place (something is missing altogether).
    pub line: u32,
    /// Column in characters, from 1; 0 when `line` is.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

/// Every fault of a configuration, in the order of the sources and their lines; at most 200, then a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    more: usize,
}

impl Diagnostics {
    /// The faults that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many faults there are, those that were not kept included.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }
}

/// One diagnostic per line, hints indented below, then `and N more`.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            writeln!(f, "{fault}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// Where something stands: a source by number, a line and a column from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Place {
    /// Not in a source: the configuration as a whole.
    pub(crate) const WHOLE: Place = Place { file: u32::MAX, line: 0, column: 0 };
    /// Given on the command line.
    pub(crate) const COMMAND_LINE: Place = Place { file: u32::MAX - 1, line: 0, column: 0 };
}

/// Where something begins, and where the last value in it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) from: Place,
    pub(crate) to: Place,
}

impl Extent {
    pub(crate) fn holds(&self, at: Place) -> bool {
        self.from <= at && at <= self.to
    }
}

/// What a fault or a warning says to the conditions of resources, beside its words. By which reason of its specification a
/// condition says so depends on the resource in which it stands: see `conditions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is wrong by itself.
    #[default]
    Invalid,
    /// A value or a field that is not supported.
    UnsupportedValue,
    /// A protocol that is not spoken: by a listener, or to the port of a Service.
    UnsupportedProtocol,
    /// What is referred to does not exist.
    NotFound,
    /// It exists in a namespace that does not let it be referred to.
    NotPermitted,
    /// It is of a kind that cannot be referred to there.
    InvalidKind,
    /// It is no certificate.
    InvalidCertificate,
    /// A listener admits a kind of routes that is not served.
    InvalidRouteKind,
    /// Two listeners take one port for the same host.
    HostnameConflict,
    /// Two listeners of one port speak different protocols.
    ProtocolConflict,
    /// Another policy says the same of the same target.
    PolicyConflict,
    /// A parentRef names no listener.
    NoMatchingParent,
    /// It names listeners, and none of them admits the route.
    NotAllowedByListeners,
    /// They admit it, and for none of its hosts.
    NoMatchingListenerHostname,
}

/// Where a fault stands, why it is one, and what other place it is about.
#[derive(Clone, Copy)]
pub(crate) struct Cause {
    at: Place,
    reason: Reason,
    about: Option<Place>,
}

impl Place {
    pub(crate) fn because(self, reason: Reason) -> Cause {
        Cause { at: self, reason, about: None }
    }
}

impl Cause {
    pub(crate) fn about(self, place: Place) -> Cause {
        Cause { about: Some(place), ..self }
    }
}

impl From<Place> for Cause {
    fn from(at: Place) -> Cause {
        at.because(Reason::default())
    }
}

/// A fault or a warning that is kept.
pub(crate) struct Said {
    pub(crate) at: Place,
    pub(crate) reason: Reason,
    /// Other places that it is about.
    pub(crate) about: Vec<Place>,
    pub(crate) diagnostic: Diagnostic,
    /// A condition says it.
    pub(crate) is_told: Cell<bool>,
}

/// A value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Place,
}

impl<T> Located<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: f(self.value), at: self.at }
    }
}

/// Collects faults and warnings while texts are read; shared by all readers of one load.
pub(crate) struct Faults {
    files: Vec<Arc<str>>,
    found: RefCell<Found>,
    /// The most faults that are kept, and the most warnings.
    most: (usize, usize),
}

#[derive(Default)]
struct Found {
    faults: Vec<Said>,
    more: usize,
    warnings: Vec<Said>,
}

impl Faults {
    /// `files` are the names of the sources; a [`Place`] points into them.
    pub(crate) fn new<'a>(files: impl Iterator<Item = &'a str>) -> Faults {
        let most = (FAULTS_MAX, WARNINGS_MAX);
        Faults { files: files.map(Arc::from).collect(), found: RefCell::default(), most }
    }

    /// As [`new`](Faults::new), for conditions, of which each tells its own faults.
    pub(crate) fn for_conditions<'a>(files: impl Iterator<Item = &'a str>) -> Faults {
        Faults { most: (CONDITIONS_FAULTS_MAX, CONDITIONS_FAULTS_MAX), ..Faults::new(files) }
    }

    /// Something is wrong, and the message says all there is to say.
    pub(crate) fn fault(&self, at: impl Into<Cause>, message: impl Into<String>) {
        self.push(at.into(), message.into(), None);
    }

    /// Something is wrong, and `hint` says what to write instead.
    pub(crate) fn fault_with_help(
        &self,
        at: impl Into<Cause>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(at.into(), message.into(), Some(hint.into()));
    }

    /// Something is allowed but probably not meant.
    pub(crate) fn warn(&self, at: impl Into<Cause>, message: impl Into<String>) {
        self.push_warning(at.into(), message.into(), None);
    }

    /// Something is allowed but probably not meant, and `hint` says what to write instead.
    pub(crate) fn warn_with_help(&self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.push_warning(at.into(), message.into(), Some(hint.into()));
    }

    fn push_warning(&self, cause: Cause, message: String, hint: Option<String>) {
        let warnings = &mut self.found.borrow_mut().warnings;
        if !is_known(warnings, cause, &message) && warnings.len() < self.most.1 {
            warnings.push(self.said(cause, message, hint));
        }
    }

    /// `file:line:column` for use inside a message.
    pub(crate) fn name(&self, at: Place) -> String {
        format!("{}:{}:{}", self.file(at), at.line, at.column)
    }

    /// Shows the faults and the warnings so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Said], &[Said]) -> T) -> T {
        let found = self.found.borrow();
        look(&found.faults, &found.warnings)
    }

    /// The warnings, when nothing is wrong; else all faults, without those that a condition tells.
    pub(crate) fn finish(self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let Found { faults, more, warnings } = self.found.into_inner();
        match faults.is_empty() {
            true => Ok(sorted(warnings)),
            false => {
                let list = sorted(faults.into_iter().filter(|fault| !fault.is_told.get()).collect());
                Err(Diagnostics { list, more })
            }
        }
    }

    fn push(&self, cause: Cause, message: String, hint: Option<String>) {
        let found = &mut *self.found.borrow_mut();
        if is_known(&mut found.faults, cause, &message) {
            return; // the same words about the same place help nobody twice
        }
        match found.faults.len() < self.most.0 {
            true => found.faults.push(self.said(cause, message, hint)),
            false => found.more += 1,
        }
    }

    fn said(&self, Cause { at, reason, about }: Cause, message: String, hint: Option<String>) -> Said {
        let diagnostic = Diagnostic { file: self.file(at), line: at.line, column: at.column, message, hint };
        Said { at, reason, about: about.into_iter().collect(), diagnostic, is_told: Cell::new(false) }
    }

    fn file(&self, at: Place) -> Arc<str> {
        match self.files.get(at.file as usize) {
            Some(name) => name.clone(),
            None if at == Place::COMMAND_LINE => "command line".into(),
            None => "configuration".into(),
        }
    }
}

/// Whether these words about this place are there already; they are about one more place then.
fn is_known(list: &mut [Said], cause: Cause, message: &str) -> bool {
    let known = list.iter_mut().find(|known| known.at == cause.at && known.diagnostic.message == message);
    known.map(|known| known.about.extend(cause.about)).is_some()
}

fn sorted(mut list: Vec<Said>) -> Vec<Diagnostic> {
    list.sort_by_key(|said| said.at);
    list.into_iter().map(|said| said.diagnostic).collect()
}

/// `text` in quotes, control characters escaped, cut after 60 characters: safe to print on a terminal.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// `a, b and c`; `none` when there is nothing; at most 12 are named.
pub(crate) fn listing<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "none".into(),
        names if names.len() > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
        }
        names => names.join(", "),
    }
}

/// The candidate that `word` was probably meant to be: the nearest by edit distance, if near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const WORD_MAX: usize = 64;
    if word.len() > WORD_MAX {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_MAX)
        .map(|candidate| (distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(3) / 3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements of one byte that turn `a` into `b`, a swap of neighbours as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_far_ones_are_not() {
        let names = ["maxTokens", "tokensPerFill", "fillInterval", "unit"];
        for (word, meant) in [
            ("maxToken", Some("maxTokens")),
            ("max_tokens", Some("maxTokens")),
            ("fillInterva", Some("fillInterval")),
            ("tokenPerFills", Some("tokensPerFill")),
            ("untit", Some("unit")),
            ("uint", Some("unit")),
            ("burst", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }

    #[test]
    fn faults_are_sorted_bounded_and_counted() {
        let faults = Faults::new(["a.yaml", "b.yaml"].into_iter());
        faults.fault_with_help(Place { file: 1, line: 2, column: 3 }, "late", "write it");
        for line in (1..=300).rev() {
            faults.fault(Place { file: 0, line, column: 1 }, "early");
        }
        let diagnostics = faults.finish().expect_err("there are faults");
        assert_eq!(diagnostics.count(), 301);
        let shown = diagnostics.to_string();
        assert!(shown.starts_with("a.yaml:102:1: early\n"), "{shown}");
        assert!(shown.ends_with("b.yaml:2:3: late\n  help: write it\nand 101 more\n"), "{shown}");
    }

    #[test]
    fn what_is_shown_is_short_and_safe() {
        assert_eq!(quoted("a\u{1b}[2J"), r#""a\u{1b}[2J""#);
        assert_eq!(quoted(&"é".repeat(100)), format!("\"{}\"...", "é".repeat(60)));
        assert_eq!(listing([]), "none");
        assert_eq!(listing(["a"; 14]), format!("{}a and 2 more", "a, ".repeat(11)));
    }
}
