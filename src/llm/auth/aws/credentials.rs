use crate::base::Secret;
use crate::llm::auth::Fault;
use crate::llm::auth::answer::is_visible;
use std::borrow::Cow;
use std::fmt;

/// What AWS knows a caller by.
///
/// `Debug` shows nothing of it.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    access_key: Box<str>,
    secret_key: Secret,
    session_token: Option<Secret>,
    /// When they end, in seconds since 1970; `None` for those that do not.
    pub expires: Option<u64>,
}

/// The names that the three parts have where they stand: access key, secret key, session token.
pub(super) type Names = [&'static str; 3];

/// The keys of a Kubernetes Secret that holds credentials, as kgateway has it.
const SECRET_KEYS: Names = ["accessKey", "secretKey", "sessionToken"];

/// IAM API Reference, AccessKey: 16 to 128 characters of `\w`. Servers that only look like AWS have shorter ones.
const ACCESS_KEY_BYTES_MAX: usize = 128;
const SECRET_KEY_BYTES_MAX: usize = 256;
/// AWS states no bound and advises against assuming one; what is longer would not fit into a head.
const SESSION_TOKEN_BYTES_MAX: usize = 16 << 10;

impl Credentials {
    /// Out of a Secret with the keys `accessKey`, `secretKey` and perhaps `sessionToken`, which `value` looks up. Space
    /// around the values is taken off.
    ///
    /// # Errors
    /// A key that is missing, or a value that cannot be one.
    pub fn from_secret<'a>(value: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Credentials, Fault> {
        let text = |name: &str| Some(String::from_utf8_lossy(value(name)?));
        let missing = || {
            let [access, secret, token] = SECRET_KEYS;
            let help = format!("write {access:?}, {secret:?} and, for temporary credentials, {token:?}");
            Fault::new(format!("the Secret has no keys {access:?} and {secret:?}"), help)
        };
        Credentials::read("the Secret", SECRET_KEYS, text)?.ok_or_else(missing)
    }

    /// Out of `place`, where `value` looks up the parts by their `names`; `None` when there is none of them. An empty
    /// part is none.
    pub(super) fn read<'a>(
        place: &str,
        names: Names,
        value: impl Fn(&str) -> Option<Cow<'a, str>>,
    ) -> Result<Option<Credentials>, Fault> {
        let values = names.map(|name| value(name).filter(|value| !value.trim().is_empty()));
        let [access, secret, token] = match &values {
            [None, None, None] => return Ok(None),
            values => values.each_ref().map(|value| value.as_deref().map(str::trim)),
        };
        let (Some(access), Some(secret)) = (access, secret) else {
            let name = names[usize::from(access.is_some())];
            let what = format!("{place} has no {name:?}, but another part of AWS credentials");
            return Err(Fault::new(what, format!("write all of them there, or none: {}", names.join(", "))));
        };
        let is_access_key = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if access.len() > ACCESS_KEY_BYTES_MAX || !access.bytes().all(is_access_key) {
            return Err(unlike(place, names[0], "letters and digits, at most 128"));
        }
        if !is_visible(secret, SECRET_KEY_BYTES_MAX) {
            return Err(unlike(place, names[1], "visible ASCII, at most 256"));
        }
        if token.is_some_and(|token| !is_visible(token, SESSION_TOKEN_BYTES_MAX)) {
            return Err(unlike(place, names[2], "visible ASCII, at most 16,384"));
        }
        Ok(Some(Credentials {
            access_key: access.into(),
            secret_key: Secret::new(secret.as_bytes()),
            session_token: token.map(|token| Secret::new(token.as_bytes())),
            expires: None,
        }))
    }

    /// The access key, which names the caller in a signature.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret key, which never leaves the process.
    pub fn secret_key(&self) -> &Secret {
        &self.secret_key
    }

    /// The token of temporary credentials, sent beside the signature.
    pub fn session_token(&self) -> Option<&Secret> {
        self.session_token.as_ref()
    }

    /// The same, with an end.
    pub(super) fn until(self, expires: Option<u64>) -> Credentials {
        Credentials { expires, ..self }
    }
}

fn unlike(place: &str, name: &str, characters: &str) -> Fault {
    let what = format!("the {name:?} of {place} cannot be one");
    Fault::new(what, format!("it must be {characters} characters: copy it again"))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Result<(String, String, Option<String>), String>;

    fn read(values: &[(&str, &str)]) -> Found {
        let value = |name: &str| Some(values.iter().find(|(key, _)| *key == name)?.1.as_bytes());
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let found = Credentials::from_secret(value).map_err(|fault| fault.to_string())?;
        let token = found.session_token().map(text);
        Ok((found.access_key().to_owned(), text(found.secret_key()), token))
    }

    #[test]
    fn secrets_hold_two_keys_and_perhaps_a_token() {
        let keys =
            |token: Option<&str>| Ok(("AKIA1".to_owned(), "s/+=".to_owned(), token.map(str::to_owned)));
        let (access, secret) = (("accessKey", "AKIA1"), ("secretKey", "s/+="));
        assert_eq!(read(&[access, secret]), keys(None));
        assert_eq!(read(&[access, secret, ("sessionToken", "t==\n")]), keys(Some("t==")));
        assert_eq!(
            read(&[("accessKey", " AKIA1\r\n"), ("secretKey", "s/+=\n"), ("sessionToken", "")]),
            keys(None)
        );
    }

    #[test]
    fn what_is_missing_or_cannot_be_is_named_and_not_shown() {
        let long = "a".repeat(16_385);
        let (access, secret) = (("accessKey", "AKIA1"), ("secretKey", "s3cret"));
        let rows: [(&[(&str, &str)], &str); 11] = [
            (
                &[],
                "the Secret has no keys \"accessKey\" and \"secretKey\"; write \"accessKey\", \"secretKey\" and,",
            ),
            (
                &[access],
                "the Secret has no \"secretKey\", but another part of AWS credentials; write all of them",
            ),
            (&[secret], "the Secret has no \"accessKey\", but"),
            (&[("sessionToken", "s3cret")], "the Secret has no \"accessKey\", but"),
            (&[access, ("secretKey", " \n")], "the Secret has no \"secretKey\", but"),
            (
                &[("accessKey", "s3cret/x"), secret],
                "the \"accessKey\" of the Secret cannot be one; it must be letters",
            ),
            (&[("accessKey", &long[..129]), secret], "the \"accessKey\" of the Secret cannot be one"),
            (&[access, ("secretKey", "s3cret s3cret")], "the \"secretKey\" of the Secret cannot be one"),
            (&[access, ("secretKey", &long[..257])], "the \"secretKey\" of the Secret cannot be one"),
            (
                &[access, secret, ("sessionToken", "s3cret\r\nx: y")],
                "the \"sessionToken\" of the Secret cannot be",
            ),
            (&[access, secret, ("sessionToken", &long)], "the \"sessionToken\" of the Secret cannot be one"),
        ];
        for (values, expected) in rows {
            let fault = read(values).expect_err(expected);
            assert!(fault.starts_with(expected) && !fault.contains("s3cret"), "{fault}");
        }
        let value = |name: &str| Some(if name == "accessKey" { &b"AKIA1"[..] } else { b"s3cret" });
        let shown = format!("{:?}", Credentials::from_secret(value));
        assert_eq!(shown, "Ok(Credentials(***))");
    }
}
