//! Credentials of clouds: files and answers that hold them. No fault and no `Debug` repeats one.

use super::choice;
use super::wellformed::text as lossy;
use serde_json::Value;
use tollgate::base::Secret;
use tollgate::llm::auth::aws::{self, Credentials};
use tollgate::llm::auth::google::{self, Key};
use tollgate::llm::auth::{Cloud, Fault, Fetch, Fetched, Origin, Outside, Received};

/// When all of this happens.
const NOW: u64 = 1_700_000_000;

/// What stands in every secret of the corpus. Others could stand in any sentence.
const MARKS: [&str; 2] = ["s3cret", "t0ken"];

fn is_marked(secret: &&String) -> bool {
    MARKS.iter().any(|mark| secret.contains(mark))
}

/// The text up to a NUL is the credentials file, what follows the config file. The first byte chooses the profile.
pub(super) fn aws_profile(data: &[u8]) {
    let (chosen, data) = choice(data);
    let text = lossy(data);
    let (credentials, config) = text.split_once('\0').unwrap_or((&text, ""));
    let secrets = |text: &str| -> Vec<String> {
        let settings = text.lines().filter_map(|line| line.split_once('='));
        let is_secret = |name: &str| name.contains("secret") || name.contains("session_token");
        let values = settings.filter(|(name, _)| is_secret(&name.to_ascii_lowercase()));
        values.map(|(_, value)| value.trim().to_owned()).collect()
    };
    let all = [secrets(credentials), secrets(config)].concat();
    let env = |name: &str| {
        let value = match name {
            "AWS_SHARED_CREDENTIALS_FILE" => "/c",
            "AWS_CONFIG_FILE" => "/f",
            "AWS_PROFILE" if chosen & 2 == 2 => "dev",
            "AWS_EC2_METADATA_DISABLED" if chosen & 8 == 8 => "true",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let files = |path: &str| {
        Ok(match path {
            "/c" => Some(credentials).filter(|_| chosen & 4 == 0).map(str::to_owned),
            "/f" => Some(config.to_owned()),
            _ => None,
        })
    };
    let nobody = |_: &Fetch| Err("nobody is there".to_owned());
    let outside = Outside { files: &files, send: &nobody, unix_s: NOW };
    match fetched(aws::Chain::from_env(&env, "eu-west-1").map(Cloud::Aws), &outside) {
        Ok(Fetched::Aws(keys)) => good_keys(&keys, &all),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => silent(&fault, &all, &text),
    }
}

fn fetched(cloud: Result<Cloud, Fault>, outside: &Outside<'_>) -> Result<Fetched, Fault> {
    let origin = Origin::new(cloud?, b"seed");
    let (checked, found) = (origin.check(outside.files), origin.fetch(outside));
    assert!(checked.is_ok() || found.is_err(), "{origin}: {checked:?}, and {found:?} all the same");
    found
}

/// What may stand in headers, and is not shown.
fn good_keys(keys: &Credentials, secrets: &[String]) {
    let is_visible = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    assert!(is_visible(keys.access_key().as_bytes()) && is_visible(keys.secret_key().expose()));
    assert!(keys.session_token().is_none_or(|token| is_visible(token.expose())));
    let shown = format!("{keys:?}");
    for secret in secrets.iter().filter(is_marked) {
        assert!(!shown.contains(secret.as_str()), "{shown}");
    }
}

/// No fault repeats a secret, unless it stands in the text in another place too, where it is none.
fn silent(fault: &Fault, secrets: &[String], text: &str) {
    let shown = format!("{fault} {fault:?}");
    assert!(
        !fault.what.is_empty() && !fault.help.is_empty() && !fault.what.contains(['\n', '\r']),
        "{shown}"
    );
    for secret in secrets.iter().filter(is_marked) {
        let once = text.matches(secret.as_str()).count() == 1;
        assert!(!once || !shown.contains(secret.as_str()), "{shown}");
    }
}

/// The texts of members with these names, wherever they stand.
fn texts_of(json: &Value, names: &[&str], out: &mut Vec<String>) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                if let (true, Some(text)) = (names.contains(&name.as_str()), value.as_str()) {
                    out.push(text.to_owned());
                }
                texts_of(value, names, out);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| texts_of(element, names, out)),
        _ => {}
    }
}

pub(super) fn google_key(data: &[u8]) {
    let mut secrets = Vec::new();
    if let Ok(json) = serde_json::from_slice::<Value>(data) {
        texts_of(&json, &["private_key", "client_secret", "refresh_token"], &mut secrets);
    }
    let text = lossy(data);
    match Key::read(data) {
        Ok(key) => {
            let fetch = key.fetch(1_700_000_000).unwrap_or_else(|fault| panic!("{fault}"));
            let shown = format!("{key:?} {fetch:?}");
            let once = |secret: &&String| text.matches(secret.as_str()).count() == 1;
            for secret in secrets.iter().filter(is_marked).filter(once) {
                assert!(!shown.contains(secret.as_str()), "{shown}");
            }
            let mut request = Vec::new();
            fetch.write(&mut request);
            assert_eq!(
                request.windows(4).filter(|end| *end == b"\r\n\r\n").count(),
                1,
                "{}",
                lossy(&request)
            );
        }
        Err(fault) => silent(&fault, &secrets, &text),
    }
}

/// The first byte chooses who answered, and whether it was well.
pub(super) fn token_answer(data: &[u8]) {
    let (chosen, body) = choice(data);
    let status = if chosen & 8 == 0 { 200 } else { 403 };
    let text = lossy(body);
    let mut secrets = Vec::new();
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        texts_of(&json, &["access_token", "SecretAccessKey", "Token"], &mut secrets);
    }
    for name in ["SecretAccessKey", "SessionToken"] {
        let inside = text.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
        secrets.extend(inside.and_then(|rest| rest.split_once('<')).map(|(secret, _)| secret.to_owned()));
    }
    let variables: &[(&str, &str)] = match chosen & 7 {
        0..=2 => &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role")],
        3 | 5..=7 => &[],
        _ => {
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")]
        }
    };
    let env =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let files = |path: &str| Ok((path == "/token").then(|| "eyJ.e.s".to_owned()));
    // Of the three answers of an instance, and of Google's one, which is the one at hand.
    let send = |fetch: &Fetch| {
        let mut request = Vec::new();
        fetch.write(&mut request);
        let is_token = request.starts_with(b"PUT ");
        let is_role = request.windows(23).any(|part| part == b"security-credentials/ H".as_slice());
        let answer = |body: &[u8]| Ok(Received { status: 200, body: Secret::new(body.to_vec()) });
        match chosen & 7 {
            3 if is_token => answer(b"a-token"),
            3 if is_role => answer(b"a-role"),
            6 | 7 if is_token => answer(b"a-token"),
            5 if !is_token => answer(b"nothing"),
            6 | 7 if !is_role => answer(b"nothing"),
            _ => Ok(Received { status, body: Secret::new(body.to_vec()) }),
        }
    };
    let outside = Outside { files: &files, send: &send, unix_s: NOW };
    let cloud = match chosen & 7 {
        0 | 1 => google::Chain::from_env(&env).map(Cloud::Google),
        _ => aws::Chain::from_env(&env, "eu-west-1").map(Cloud::Aws),
    };
    match fetched(cloud, &outside) {
        Ok(Fetched::Aws(keys)) => {
            assert_eq!(status, 200);
            good_keys(&keys, &secrets);
        }
        Ok(Fetched::Google(token)) => {
            let authorization = token.authorization.expose();
            assert!(
                authorization.starts_with(b"Bearer ") && authorization[7..].iter().all(u8::is_ascii_graphic)
            );
            assert!(token.expires >= NOW && status == 200);
        }
        Err(fault) => silent(&fault, &secrets, &text),
    }
}
