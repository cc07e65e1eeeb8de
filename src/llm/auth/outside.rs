use super::{Fault, Fetch, Received};
use std::borrow::Cow;

/// Reads a file, `None` where there is none; the error says why it cannot be read, and nothing of what is in it.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<Option<String>, String>;

/// What credentials are made of and is not here: files, endpoints, the time. Whoever has them lends them.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Files, read anew each time: tokens in them are renewed.
    pub files: Files<'a>,
    /// Sends a request and waits for its answer; the error names the host.
    pub send: &'a dyn Fn(&Fetch) -> Result<Received, String>,
    /// The time in seconds since 1970.
    pub unix_s: u64,
}

impl Outside<'_> {
    /// What `who` answers.
    pub(super) fn ask(
        &self,
        fetch: &Fetch,
        who: &str,
        help: impl Into<Cow<'static, str>>,
    ) -> Result<Received, Fault> {
        (self.send)(fetch).map_err(|why| Fault::new(format!("{who} cannot be reached ({why})"), help))
    }

    /// The text of a file that must be there.
    pub(super) fn text(&self, path: &str, help: &'static str) -> Result<String, Fault> {
        read(self.files, path)?
            .ok_or_else(|| Fault::new(format!("the file {path:?} that holds a token is not there"), help))
    }
}

/// The text of a file, `None` where there is none.
pub(super) fn read(files: Files<'_>, path: &str) -> Result<Option<String>, Fault> {
    let help = "it must be a text that tollgate may read";
    files(path).map_err(|why| Fault::new(format!("the file {path:?} cannot be read: {why}"), help))
}
