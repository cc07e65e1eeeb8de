//! Credentials of clouds: files and answers that hold them. No fault and no `Debug` repeats one.

use super::choice;
use super::wellformed::text as lossy;
use serde_json::Value;
use tollgate::llm::auth::aws::{Container, Credentials, Instance, ProfileFiles, Source, WebIdentity};
use tollgate::llm::auth::google::{Key, Token};
use tollgate::llm::auth::{Answer, Fault};

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
    let files = ProfileFiles {
        credentials: "/c".to_owned(),
        config: "/f".to_owned(),
        profile: if chosen & 1 == 0 { "default" } else { "dev" }.to_owned(),
        is_named: chosen & 2 == 2,
    };
    let secrets = |text: &str| -> Vec<String> {
        let settings = text.lines().filter_map(|line| line.split_once('='));
        let is_secret = |name: &str| name.contains("secret") || name.contains("session_token");
        let values = settings.filter(|(name, _)| is_secret(&name.to_ascii_lowercase()));
        values.map(|(_, value)| value.trim().to_owned()).collect()
    };
    let all = [secrets(credentials), secrets(config)].concat();
    match files.read(Some(credentials).filter(|_| chosen & 4 == 0), Some(config)) {
        Ok(None) => assert!(!files.is_named, "a profile that is named and has nothing"),
        Ok(Some(Source::Keys(keys))) => good_keys(&keys, &all),
        Ok(Some(Source::WebIdentity(identity))) => {
            assert!(!identity.role.is_empty() && !identity.token_file.is_empty());
        }
        Ok(Some(other)) => panic!("{other:?}"),
        Err(fault) => silent(&fault, &all, &text),
    }
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
    let answer = Answer { status: if chosen & 8 == 0 { 200 } else { 403 }, body };
    let mut secrets = Vec::new();
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        texts_of(&json, &["access_token", "SecretAccessKey", "Token"], &mut secrets);
    }
    let text = lossy(body);
    let keys = |read: Result<Credentials, Fault>, secrets: &[String]| match read {
        Ok(keys) => {
            assert_eq!(answer.status, 200);
            good_keys(&keys, secrets);
        }
        Err(fault) => silent(&fault, secrets, &text),
    };
    match chosen & 7 {
        0 | 1 => match Token::read(answer, 1000) {
            Ok(token) => {
                let authorization = token.authorization.expose();
                assert!(
                    authorization.starts_with(b"Bearer ")
                        && authorization[7..].iter().all(u8::is_ascii_graphic)
                );
                assert!(token.expires >= 1000 && answer.status == 200);
            }
            Err(fault) => silent(&fault, &secrets, &text),
        },
        2 => keys(Container::read(answer), &secrets),
        3 => keys(Instance::read(answer), &secrets),
        4 => {
            let mut secrets = Vec::new();
            for name in ["SecretAccessKey", "SessionToken"] {
                let inside = text.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
                secrets.extend(
                    inside.and_then(|rest| rest.split_once('<')).map(|(secret, _)| secret.to_owned()),
                );
            }
            keys(WebIdentity::read(answer), &secrets);
        }
        5 => match Instance::read_token(answer) {
            Ok(token) => assert!(token.expose().iter().all(u8::is_ascii_graphic)),
            Err(fault) => silent(&fault, &[text.trim().to_owned()], &text),
        },
        _ => match Instance::read_role(answer) {
            Ok(role) => assert!(!role.is_empty() && !role.contains(['/', '\r', '\n', ' ', '?'])),
            Err(fault) => silent(&fault, &[], &text),
        },
    }
}
