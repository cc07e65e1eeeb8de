//! Who may call: tokens of callers, key sets of issuers, and what operators write about both.

use super::wellformed::text as lossy;
use serde_json::Value;
use tollgate::access::basic::User;
use tollgate::access::cel::{Expression, TEXT_MAX, World};
use tollgate::access::jwt::{Issuer, KEYS_BYTES_MAX, KEYS_MAX, KeyRing, Keys, Verifier};
use tollgate::access::{Asked, Identity, Mode, Policy, Users, digest};
use tollgate::wire::http1::{HeadLimits, HeadScan};

/// When all of this happens: before the tokens of the corpus end that do not say they have.
const NOW: i64 = 1_700_000_000;

/// The keys by which the tokens of the corpus are signed.
const KEY_SET: &[u8] = include_bytes!("../corpus/key_set/two");

/// All that they have signed for us.
const GOOD: [&[u8]; 2] = [include_bytes!("../corpus/token/eddsa"), include_bytes!("../corpus/token/es256")];

/// The bytes are a token. No change of one that is good leaves it good.
pub(super) fn token(data: &[u8]) {
    let keys = Keys::read(KEY_SET).unwrap_or_else(|why| panic!("the key set {why}"));
    let (name, audiences) = ("https://issuer.test".to_owned(), vec!["gate".to_owned()]);
    let verifier = Verifier { issuers: vec![Issuer { name, audiences, source: 0 }] };
    let found = verifier.verify(data, digest(data), &[Some(keys.into())], NOW);
    assert_eq!(found.is_ok(), GOOD.contains(&data), "{found:?}");
    if let Ok(claims) = found {
        assert_eq!(claims.text("sub").as_deref(), Some("ann"));
        assert!(!format!("{claims:?}").contains("ann"), "it shows what it says");
    }
    let unknown = verifier.verify(data, digest(data), &[None], NOW);
    assert!(unknown.is_err(), "nobody's key has verified it");
}

/// The bytes are a line of an htpasswd file, or credentials. Nothing of a hash or a password is shown, and who is let in by credentials is
/// in the list.
pub(super) fn password(data: &[u8]) {
    if let Ok(line) = std::str::from_utf8(data) {
        match User::read(line) {
            Ok(user) => {
                assert!(line.starts_with(user.name()) && line[user.name().len()..].starts_with(':'));
                let hash = &line[user.name().len() + 1..];
                assert!(!format!("{user:?}").contains(hash), "it shows its hash");
            }
            Err(wrong) => {
                let shown = format!("{wrong:?}");
                assert!(
                    !shown.contains("s3cret")
                        || line.split(':').next().is_some_and(|name| name.contains("s3cret"))
                );
            }
        }
    }
    let list = vec![User::read("ann:{SHA}F2GPAaOiG5EcklvLUlodIavTBnM=").expect("opensesame")];
    let policy =
        Policy { users: Some(Users::new(Mode::Strict, "r", list).expect("one").into()), ..Policy::default() };
    let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic ", data, b"\r\n\r\n"].concat();
    let Ok(Some(head)) = HeadScan::default().request(&bytes, &HeadLimits::default()) else { return };
    let asked =
        Asked { head: &head, bytes: &bytes, peer: ([10, 0, 0, 1], 1).into(), unix_ms: 0, digest: None };
    let ring = KeyRing::default();
    if let Some(question) = policy.question(&asked) {
        assert!(!format!("{question:?}").contains("opensesame"), "it shows its password");
        let holds = question.holds();
        ring.verdicts().borrow_mut().put(question.mark, holds, (0, 1));
        let name = policy.admit(&asked, &ring).map(|identity| identity.name().map(str::to_owned));
        assert_eq!(name.ok(), holds.then(|| Some("ann".to_owned())), "the question is not what was asked");
    } else {
        assert!(policy.admit(&asked, &ring).is_err(), "nobody was asked");
    }
}

/// The bytes are a key set. Each key of it can verify or is told of, and nothing of it is repeated.
pub(super) fn key_set(data: &[u8]) {
    let told = match Keys::read(data) {
        Ok(keys) => {
            let set: Value = serde_json::from_slice(data).unwrap_or_default();
            let listed = set["keys"].as_array().map_or(0, Vec::len);
            assert!(data.len() <= KEYS_BYTES_MAX && (1..=KEYS_MAX).contains(&keys.len()));
            assert_eq!(keys.len() + keys.skipped.len(), listed);
            format!("{keys:?} {}", keys.skipped.join(" "))
        }
        Err(why) => {
            assert!(!why.is_empty());
            why
        }
    };
    assert!(!told.contains("s3cret"), "a fault repeats a secret: {told}");
}

/// The bytes are an expression. It is compiled or refused at a place in it, and says the same of a request each time.
pub(super) fn cel(data: &[u8]) {
    let text = lossy(data);
    let expression = match Expression::compile(&text) {
        Ok(expression) => expression,
        Err(fault) => {
            assert!(
                (1..=text.chars().count() + 1).contains(&fault.at) && !fault.message.is_empty(),
                "{fault}"
            );
            return;
        }
    };
    assert!(text.len() <= TEXT_MAX, "{} bytes", text.len());
    let bytes = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: gate.test\r\nX-Team: a\r\n\r\n";
    let head = HeadScan::default().request(bytes, &HeadLimits::default());
    let Ok(Some(head)) = head else { panic!("{head:?}") };
    let peer = ([192, 0, 2, 7], 40_000).into();
    let asked = Asked { head: &head, bytes, peer, unix_ms: NOW * 1000, digest: None };
    for model in [None, Some(""), Some("gpt-5")] {
        let world = World { asked: &asked, identity: &Identity::default(), model };
        let holds = expression.holds(&world);
        assert_eq!(holds, expression.holds(&world));
        if !expression.asks_for_model() {
            let other = World { asked: &asked, identity: &Identity::default(), model: Some("o3") };
            assert_eq!(holds, expression.holds(&other), "it asks for the model all the same");
        }
    }
}
