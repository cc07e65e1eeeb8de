use super::Fault;
use crate::base::Secret;
use crate::wire::json::find;
use std::borrow::Cow;

/// What an endpoint answered to a [`Fetch`](super::Fetch). It may be a credential, and has no `Debug`.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The status of HTTP.
    pub status: u16,
    /// The whole body.
    pub body: &'a [u8],
}

/// An answer that owns its body, which may hold a credential.
pub struct Received {
    /// The status of HTTP.
    pub status: u16,
    /// The whole body, at most [`ANSWER_BYTES_MAX`] of it.
    pub body: Secret,
}

impl Received {
    /// The same, for those who read it.
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, body: self.body.expose() }
    }
}

/// No answer is longer that is a credential; whoever receives it reads no more.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

impl<'a> Answer<'a> {
    /// The body of an answer with status 200.
    ///
    /// # Errors
    /// Another status, with what the endpoint says of it where `said` finds that in the body.
    pub(super) fn accepted(
        self,
        who: &str,
        help: impl Into<Cow<'static, str>>,
        said: impl Fn(&[u8]) -> Option<String>,
    ) -> Result<&'a [u8], Fault> {
        if self.status == 200 {
            return Ok(self.body);
        }
        let said = said(self.body).map(|said| format!(": {}", excerpt(&said))).unwrap_or_default();
        Err(Fault::new(format!("{who} answered {}{said}", self.status), help))
    }
}

/// The texts of members of a JSON object, joined by `: `, as far as they are there.
pub(super) fn texts(body: &[u8], members: &[&str]) -> Option<String> {
    let found: Vec<Cow<'_, str>> =
        members.iter().filter_map(|member| find::string(body, &[member])).collect();
    (!found.is_empty()).then(|| found.join(": "))
}

/// That `who` answered with something else than it should have.
pub(super) fn unexpected(who: &str, why: &str) -> Fault {
    Fault::new(format!("{who} gave an answer that {why}"), "make sure that the address is its own")
}

/// What somebody else said, fit for a line of a log.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Seconds since 1970 of an instant as RFC 3339 writes it.
pub(super) fn instant(text: &str) -> Option<u64> {
    let at: jiff::Timestamp = text.trim().parse().ok()?;
    u64::try_from(at.as_second()).ok()
}

/// Whether `text` may stand in a header: visible ASCII, at most `bytes_max` of it, and some.
pub(super) fn is_visible(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_fits_into_a_line() {
        let answer = |status, body: &'static str| {
            let answer = Answer { status, body: body.as_bytes() };
            let read = answer.accepted("it", "help", |body| texts(body, &["code", "message"]));
            read.map(|_| ()).map_err(|fault| fault.to_string())
        };
        assert_eq!(answer(200, "x"), Ok(()));
        assert_eq!(answer(403, "x"), Err("it answered 403; help".to_owned()));
        let body = r#"{"message":"no\nway","code":"Denied"}"#;
        assert_eq!(answer(403, body), Err("it answered 403: Denied: no way; help".to_owned()));
        assert_eq!(excerpt(&"é".repeat(300)).chars().count(), 200);
    }

    #[test]
    fn instants_are_read() {
        for (text, at) in [
            ("2015-08-30T12:36:00Z", Some(1_440_938_160)),
            ("2015-08-30T12:36:00.999Z", Some(1_440_938_160)),
            ("2015-08-30T14:36:00+02:00", Some(1_440_938_160)),
            (" 1970-01-01T00:00:00Z\n", Some(0)),
            ("1969-12-31T23:59:59Z", None),
            ("2015-08-30", None),
            ("2015-13-30T12:36:00Z", None),
            ("", None),
        ] {
            assert_eq!(instant(text), at, "{text}");
        }
    }
}
