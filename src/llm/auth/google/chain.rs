use super::{Key, Token};
use crate::llm::auth::outside::read;
use crate::llm::auth::{Env, Fault, Fetch, Files, Outside, Url, variable};
use crate::wire::url;
use std::fmt;

/// Where tokens come from: the first of these that is there.
///
/// `Display` tells the places in their order.
#[derive(Debug)]
pub struct Chain(Vec<Source>);

/// Where a token may come from.
#[derive(Debug)]
enum Source {
    /// A key that somebody wrote down.
    Key(Key),
    /// A file with a [`Key`].
    File {
        /// Where it is.
        path: String,
        /// The environment names it, so it must be there; one that `gcloud` may have written need not be.
        is_named: bool,
    },
    /// The request to the metadata server.
    Metadata(Fetch),
}

impl Chain {
    /// One key alone.
    pub fn of_key(key: Key) -> Chain {
        Chain(vec![Source::Key(key)])
    }

    /// The places to look, as the environment has them.
    ///
    /// # Errors
    /// A variable that cannot be what it is.
    pub fn from_env(env: Env<'_>) -> Result<Chain, Fault> {
        if let Some(path) = variable(env, FILE) {
            return Ok(Chain(vec![Source::File { path, is_named: true }]));
        }
        let home = || Some(format!("{}/.config/gcloud", variable(env, "HOME")?));
        let folder = variable(env, "CLOUDSDK_CONFIG").or_else(home);
        let path = folder.map(|folder| format!("{folder}/application_default_credentials.json"));
        let file = path.map(|path| Source::File { path, is_named: false });
        Ok(Chain(file.into_iter().chain([Source::Metadata(metadata(env)?)]).collect()))
    }

    pub(in crate::llm::auth) fn fetch(&self, outside: &Outside<'_>) -> Result<Token, Fault> {
        for source in &self.0 {
            match source {
                Source::Key(key) => return key.grant(outside),
                Source::Metadata(fetch) => {
                    let received = outside.ask(fetch, SERVER, HELP)?;
                    return Token::read(received.answer(), (SERVER, HELP), outside.unix_s);
                }
                Source::File { path, is_named } => {
                    if let Some(key) = key_in(outside.files, path, *is_named)? {
                        return key.grant(outside);
                    }
                }
            }
        }
        Err(Fault::new("there is no place to look for an access token of Google's", HELP))
    }

    pub(in crate::llm::auth) fn check(&self, files: Files<'_>) -> Result<(), Fault> {
        self.0.iter().try_for_each(|source| match source {
            Source::File { path, is_named } => key_in(files, path, *is_named).map(|_| ()),
            Source::Key(_) | Source::Metadata(_) => Ok(()),
        })
    }
}

const SERVER: &str = "Google's metadata server";
const HELP: &str = "run where there is a metadata server, or name the key file of a service account in \
                    GOOGLE_APPLICATION_CREDENTIALS";
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The key in a file; `None` when there is no such file and nobody named it.
fn key_in(files: Files<'_>, path: &str, is_named: bool) -> Result<Option<Key>, Fault> {
    match read(files, path)? {
        Some(text) => Key::read(text.as_bytes())
            .map(Some)
            .map_err(|fault| Fault::new(format!("{path}: {}", fault.what), fault.help)),
        None if is_named => {
            let help = "correct it, or mount the key there";
            Err(Fault::new(format!("the file {path:?} that {FILE} names is not there"), help))
        }
        None => Ok(None),
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, source) in self.0.iter().enumerate() {
            f.write_str(if place > 0 { ", else " } else { "" })?;
            match source {
                Source::Key(key) => write!(f, "{key}")?,
                Source::File { path, .. } => write!(f, "the key in {path:?}")?,
                Source::Metadata(fetch) => {
                    let authority = fetch.url.authority();
                    write!(f, "the metadata server at {}", String::from_utf8_lossy(&authority))?;
                }
            }
        }
        Ok(())
    }
}

/// The request for the token of the attached service account (Compute Engine, "Authenticate workloads to Google Cloud
/// APIs using service accounts"). GKE's metadata server takes the same.
fn metadata(env: Env<'_>) -> Result<Fetch, Fault> {
    // By its address: a worker that cannot resolve names yet can ask it all the same.
    let host = variable(env, HOST).unwrap_or_else(|| "169.254.169.254".to_owned());
    let url = url::host_port(host.as_bytes()).and_then(|_| Url::parse(&format!("http://{host}{TOKEN_PATH}")));
    let url = url.ok_or_else(|| {
        let help = "write a name or an address, with :port if need be";
        Fault::new(format!("the environment's {HOST:?} is no host"), help)
    })?;
    Ok(Fetch::get(url).header("metadata-flavor", "Google"))
}

const HOST: &str = "GCE_METADATA_HOST";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;
    use crate::llm::auth::Received;

    fn chain(variables: &[(&str, &str)]) -> Result<Chain, String> {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        Chain::from_env(&env).map_err(|fault| fault.to_string())
    }

    #[test]
    fn places_are_in_the_order_of_google() {
        let (home, host) = (("HOME", "/h"), "the metadata server at 169.254.169.254");
        let at = |folder: &str| {
            format!("the key in \"{folder}/application_default_credentials.json\", else {host}")
        };
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let rows: [(Variables<'_>, String); 6] = [
            (&[], host.to_owned()),
            (&[home], at("/h/.config/gcloud")),
            (&[home, ("CLOUDSDK_CONFIG", "/g")], at("/g")),
            (&[home, (FILE, "/k.json")], "the key in \"/k.json\"".to_owned()),
            (&[("GCE_METADATA_HOST", "metadata:8080")], "the metadata server at metadata:8080".to_owned()),
            (&[("GCE_METADATA_HOST", "")], host.to_owned()),
        ];
        for (variables, expected) in rows {
            assert_eq!(chain(variables).expect("places").to_string(), expected, "{variables:?}");
        }
        let fault = chain(&[("GCE_METADATA_HOST", "http://x")]).expect_err("no host");
        assert!(
            fault.starts_with("the environment's \"GCE_METADATA_HOST\" is no host; write a name"),
            "{fault}"
        );
    }

    /// A user's own grant, as `gcloud` writes it.
    const USER: &str = r#"{"type":"authorized_user","client_id":"c","client_secret":"d-s3cret",
        "refresh_token":"1//s3cret","quota_project_id":"house-2"}"#;
    const TOKEN: &str = r#"{"access_token":"ya29.s3cret","expires_in":3599,"token_type":"Bearer"}"#;

    /// The end of a token and who pays, or why there is none.
    type Fetched = Result<(u64, Option<String>), String>;

    /// What is fetched, and where it was asked for; the one file there is.
    fn fetch(
        variables: &[(&str, &str)],
        file: Option<(&str, &str)>,
        answer: Option<(u16, &str)>,
    ) -> (Fetched, Vec<String>) {
        let asked = std::cell::RefCell::new(Vec::new());
        let files = |path: &str| Ok(file.filter(|(name, _)| *name == path).map(|(_, text)| text.to_owned()));
        let send = |fetch: &Fetch| {
            asked.borrow_mut().push(format!("{} {}{}", fetch.method, fetch.url.host, fetch.url.target));
            let (status, body) = answer.ok_or("it is not there")?;
            Ok(Received { status, body: Secret::new(body.as_bytes()) })
        };
        let outside = Outside { files: &files, send: &send, unix_s: 1000 };
        let token = chain(variables).expect("places").fetch(&outside);
        let token = token.map(|token| (token.expires, token.quota_project.map(Into::into)));
        (token.map_err(|fault| fault.to_string()), asked.into_inner())
    }

    #[test]
    fn the_first_place_that_is_there_is_asked() {
        let (home, named) = (("HOME", "/h"), (FILE, "/k.json"));
        let gcloud = "/h/.config/gcloud/application_default_credentials.json";
        let (google, metadata) = (
            "POST oauth2.googleapis.com/token".to_owned(),
            "GET 169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token".to_owned(),
        );
        let user = Ok((4599, Some("house-2".to_owned())));
        assert_eq!(
            fetch(&[home], Some((gcloud, USER)), Some((200, TOKEN))),
            (user.clone(), vec![google.clone()])
        );
        assert_eq!(fetch(&[home, named], Some(("/k.json", USER)), Some((200, TOKEN))), (user, vec![google]));
        assert_eq!(fetch(&[home], None, Some((200, TOKEN))), (Ok((4599, None)), vec![metadata.clone()]));
        let (fault, asked) = fetch(&[home], None, None);
        let fault = fault.expect_err("nobody answers");
        assert!(
            fault.starts_with("Google's metadata server cannot be reached (it is not there); run where"),
            "{fault}"
        );
        assert_eq!(asked, [metadata]);
        for (file, expected) in [
            (None, "the file \"/k.json\" that GOOGLE_APPLICATION_CREDENTIALS names is not there; correct"),
            (Some(("/k.json", "s3cret")), "/k.json: the Google key is not JSON"),
            (
                Some(("/k.json", r#"{"type":"external_account"}"#)),
                "/k.json: the Google key is of type \"external_account\"",
            ),
        ] {
            let (fault, asked) = fetch(&[named], file, Some((200, TOKEN)));
            let fault = fault.expect_err(expected);
            assert!(fault.starts_with(expected) && !fault.contains("s3cret") && asked.is_empty(), "{fault}");
            let files =
                |path: &str| Ok(file.filter(|(name, _)| *name == path).map(|(_, text)| text.to_owned()));
            assert_eq!(
                chain(&[named]).expect("places").check(&files).map_err(|fault| fault.to_string()),
                Err(fault)
            );
        }
        assert!(chain(&[home]).expect("places").check(&|_| Ok(None)).is_ok());
    }

    #[test]
    fn the_metadata_server_is_asked_as_it_wants() {
        let mut out = Vec::new();
        metadata(&|_| None).expect("a request").write(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\nhost: 169.254.169.254\r\n\
             metadata-flavor: Google\r\n\r\n"
        );
    }
}
