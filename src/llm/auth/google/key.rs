use super::{ServiceAccount, Token};
use crate::base::Secret;
use crate::llm::auth::answer::{excerpt, is_visible};
use crate::llm::auth::{Fault, Fetch, Outside, Url};
use crate::wire::json::find;
use std::borrow::Cow;
use std::fmt;

/// What a key file holds, by its `type`.
#[derive(Debug)]
pub enum Key {
    /// `service_account`.
    ServiceAccount(ServiceAccount),
    /// `authorized_user`.
    AuthorizedUser(AuthorizedUser),
}

/// What `gcloud auth application-default login` writes: a user's grant, which is exchanged for access tokens.
///
/// `Debug` shows the client's id alone.
pub struct AuthorizedUser {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    /// The project that pays, if the file names one: the value of `x-goog-user-project`, which Vertex AI wants of
    /// users.
    quota_project: Option<String>,
}

const WHO: &str = "Google's token endpoint";
/// Where it is.
pub(super) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

impl Key {
    /// Reads a key file.
    ///
    /// # Errors
    /// What is missing or cannot be, or a `type` that is not looked up.
    pub fn read(json: &[u8]) -> Result<Key, Fault> {
        if find::value(json, &[]).is_none() {
            let help =
                "it is the JSON file that Google Cloud gives out, from { to }: check how it was quoted";
            return Err(Fault::new("the Google key is not JSON", help));
        }
        let fields = Fields { json };
        match fields.text("type")?.as_ref() {
            "service_account" => Ok(Key::ServiceAccount(ServiceAccount::read(&fields)?)),
            "authorized_user" => Ok(Key::AuthorizedUser(AuthorizedUser::read(&fields)?)),
            other => {
                let what = format!("the Google key is of type {:?}, which is not supported", excerpt(other));
                Err(Fault::new(
                    what,
                    "use the key of a service account, or run where there is a metadata server",
                ))
            }
        }
    }

    /// The access token that it gets.
    pub(super) fn grant(&self, outside: &Outside<'_>) -> Result<Token, Fault> {
        let unreached = "make sure that it can be reached from here";
        let received = outside.ask(&self.fetch(outside.unix_s)?, WHO, unreached)?;
        let help = "make sure that the account is enabled, that its key was not deleted, and that the clock is right";
        let token = Token::read(received.answer(), (WHO, help), outside.unix_s)?;
        let quota_project = match self {
            Key::AuthorizedUser(user) => user.quota_project.as_deref().map(Into::into),
            Key::ServiceAccount(_) => None,
        };
        Ok(Token { quota_project, ..token })
    }

    /// The request for an access token, whose answer [`Token::read`] reads. `unix_s` is the time in
    /// seconds since 1970: Google's clock may differ from it by some minutes. To sign takes about a millisecond.
    ///
    /// # Errors
    /// A private key that cannot sign.
    pub fn fetch(&self, unix_s: u64) -> Result<Fetch, Fault> {
        match self {
            Key::ServiceAccount(account) => account.fetch(unix_s),
            Key::AuthorizedUser(user) => Ok(user.fetch()),
        }
    }
}

impl AuthorizedUser {
    fn read(fields: &Fields<'_>) -> Result<AuthorizedUser, Fault> {
        let secret = |name| Ok(Secret::new(fields.visible(name)?.as_bytes()));
        Ok(AuthorizedUser {
            client_id: fields.visible("client_id")?.into_owned(),
            client_secret: secret("client_secret")?,
            refresh_token: secret("refresh_token")?,
            quota_project: find::string(fields.json, &["quota_project_id"])
                .filter(|project| is_visible(project, 256))
                .map(Cow::into_owned),
        })
    }

    /// RFC 6749 section 6.
    fn fetch(&self) -> Fetch {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let (host, target) = ("oauth2.googleapis.com".to_owned(), "/token");
        Fetch::form(
            Url::https(host, target),
            &[
                ("grant_type", "refresh_token"),
                ("client_id", &self.client_id),
                ("client_secret", &text(&self.client_secret)),
                ("refresh_token", &text(&self.refresh_token)),
            ],
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::ServiceAccount(account) => write!(f, "the service account {}", account.email()),
            Key::AuthorizedUser(user) => write!(f, "a user's grant to the client {}", user.client_id),
        }
    }
}

impl fmt::Debug for AuthorizedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizedUser({})", self.client_id)
    }
}

/// The members of a key file.
pub(super) struct Fields<'j> {
    pub(super) json: &'j [u8],
}

impl<'j> Fields<'j> {
    /// A text that must be there.
    pub(super) fn text(&self, name: &str) -> Result<Cow<'j, str>, Fault> {
        find::string(self.json, &[name]).filter(|text| !text.is_empty()).ok_or_else(|| {
            let help = "write the whole file as Google Cloud gave it out";
            Fault::new(format!("the Google key has no text {name:?}"), help)
        })
    }

    /// A text that must be there and of visible ASCII.
    pub(super) fn visible(&self, name: &str) -> Result<Cow<'j, str>, Fault> {
        const TEXT_BYTES_MAX: usize = 4096;
        let text = self.text(name)?;
        match is_visible(&text, TEXT_BYTES_MAX) {
            true => Ok(text),
            false => {
                let help = "it must be visible ASCII characters: write the file as Google Cloud gave it out";
                Err(Fault::new(format!("the {name:?} of the Google key cannot be one"), help))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = r#"{"account":"","client_id":"764086051850-x.apps.googleusercontent.com",
        "client_secret":"d-s3cret","quota_project_id":"my-project","refresh_token":"1//s3cret",
        "type":"authorized_user","universe_domain":"googleapis.com"}"#;

    #[test]
    fn a_users_grant_is_exchanged() {
        let key = Key::read(USER.as_bytes()).expect("a key");
        let fetch = key.fetch(0).expect("a request");
        assert_eq!((fetch.method, &fetch.url), ("POST", &Url::parse(TOKEN_URI).expect("a URL")));
        assert_eq!(
            String::from_utf8_lossy(fetch.body.expose()),
            "grant_type=refresh_token&client_id=764086051850-x.apps.googleusercontent.com&client_secret=d-s3cret\
             &refresh_token=1%2F%2Fs3cret"
        );
        assert!(!format!("{key:?} {fetch:?}").contains("s3cret"));
        let Key::AuthorizedUser(user) = key else { panic!("a user") };
        assert_eq!(user.quota_project.as_deref(), Some("my-project"));
    }

    #[test]
    fn malformed_keys_are_named_and_not_shown() {
        for (json, expected) in [
            ("".to_owned(), "the Google key is not JSON; it is the JSON file"),
            (USER[..100].to_owned(), "the Google key is not JSON"),
            ("$KEY".to_owned(), "the Google key is not JSON"),
            ("[]".to_owned(), "the Google key has no text \"type\"; write the whole file"),
            (
                USER.replace("authorized_user", "external_account"),
                "the Google key is of type \"external_account\", which",
            ),
            (USER.replace("refresh_token", "x"), "the Google key has no text \"refresh_token\""),
            (USER.replace("\"d-s3cret\"", "7"), "the Google key has no text \"client_secret\""),
            (USER.replace("d-s3cret", ""), "the Google key has no text \"client_secret\""),
            (USER.replace("d-s3cret", "s3cret x"), "the \"client_secret\" of the Google key cannot be one"),
        ] {
            let fault = Key::read(json.as_bytes()).expect_err(expected).to_string();
            assert!(fault.starts_with(expected) && !fault.contains("s3cret"), "{fault}");
        }
    }
}
