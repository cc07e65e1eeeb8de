use super::*;
use crate::access::Policy;
use crate::access::jwt::KeyRing;
use crate::wire::http1::{HeadLimits, HeadScan};

/// Made by `crypt(3)` of libxcrypt 4.4 (bcrypt) and OpenSSL 3.0 (`openssl passwd -apr1`, `openssl dgst -sha1`).
const MADE: [(&str, &str); 17] = [
    ("opensesame", "$2b$04$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi"),
    ("opensesame", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.8igw9jrmlEHR8G./hJvpAZecHhYM7hi"),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("pässwörd", "$2b$04$abcdefghijklmnopqrstuuyx2n0Zzopyr9QuYTMCfOJJOj526QVoC"),
    ("", "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
    ("opensesame", "$apr1$r31.....$AjcS1XH/jjX33z4ivNvI1/"),
    ("opensesame", "$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M."),
    ("", "$apr1$r31.....$iQoXxeL5pW.kaXVrniDCU0"),
    ("pässwörd", "$apr1$r31.....$CnMBtjJHTKsiwi5FN79xp0"),
    ("pässwörd", "$apr1$ab$J/pyQu7p0O5KCJfor.v6Y/"),
    ("a:b", "$apr1$ab$A6HT7AKuN9MGR0ozwCqMo0"),
    ("0123456789abcdef0123456789abcdefXYZ", "$apr1$r31.....$goBqyfe3qkvJvQ/0/RAGc1"),
    ("0123456789abcdef0123456789abcdefXYZ", "$apr1$ab$aHSFH/gT4kI6GhNIQ2Zqm."),
    ("opensesame", "{SHA}F2GPAaOiG5EcklvLUlodIavTBnM="),
    ("", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    ("pässwörd", "{SHA}9Rfd8dMqES/xrVXGbRsSyzjn6Pc="),
    ("a:b", "{SHA}3OptnM09ILoVSfbZtd3mB0IViII="),
];

#[test]
fn hashes_of_other_programs_are_of_their_passwords_alone() {
    for (password, text) in MADE {
        let hash = Hash::read(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        assert!(hash.is_of(password.as_bytes()), "{text}");
        for other in [&format!("{password}x"), &format!("x{password}"), "OpenSesame", " "] {
            assert!(!hash.is_of(other.as_bytes()), "{text}: {other}");
        }
    }
    // As every other program, bcrypt takes 72 bytes and no more.
    let long = Hash::read("$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i").expect("a hash");
    for (length, expected) in [(71, false), (72, true), (73, true), (700, true)] {
        assert_eq!(long.is_of(&vec![b'x'; length]), expected, "{length}");
    }
}

#[test]
fn what_is_no_hash_that_is_supported_is_told_apart() {
    use WrongHash::{Cost, Crypt, Damaged, Plain};
    for (text, expected) in [
        ("", Plain),
        ("opensesame", Plain),
        ("{SSHA}AAAA", Plain),
        ("rqXexS6ZhobKA", Crypt),
        ("_J9..rasmBYk8r9AiWNc", Crypt),
        ("$1$abc$AeJ.E.NqP9.icSjbwgKXa.", Crypt),
        ("$6$abc$nuGhYwny29fnGCAMQqWqSXAC3nKXaIUrOgJCB7ydS6j19egPMz.1eS8nMPNYT6c9XE604FEMG9EraHTVsw", Crypt),
        ("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", Crypt),
        ("{SHA}", Damaged("{SHA}")),
        ("{SHA}F2GPAaOiG5EcklvLUlodIavTBn", Damaged("{SHA}")),
        ("$apr1$ab", Damaged("$apr1$")),
        ("$apr1$123456789$6Cm1F.e/FFPuga.Gaxy1M.", Damaged("$apr1$")),
        ("$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M", Damaged("$apr1$")),
        ("$apr1$ab$6Cm1F.e/FFPuga.Gaxy1Mz", Damaged("$apr1$")),
        ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.8igw9jrmlEHR8G./hJvpAZecHhYM7h", Damaged("$2y$")),
        ("$2y$03$CCCCCCCCCCCCCCCCCCCCC.8igw9jrmlEHR8G./hJvpAZecHhYM7hi", Damaged("$2y$")),
        ("$2y$5$CCCCCCCCCCCCCCCCCCCCC.8igw9jrmlEHR8G./hJvpAZecHhYM7hi", Damaged("$2y$")),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCC!.8igw9jrmlEHR8G./hJvpAZecHhYM7hi", Damaged("$2b$")),
        ("$2b$14$CCCCCCCCCCCCCCCCCCCCé8igw9jrmlEHR8G./hJvpAZecHhYM7hi", Damaged("$2b$")),
        ("$2y$15$CCCCCCCCCCCCCCCCCCCCC.8igw9jrmlEHR8G./hJvpAZecHhYM7hi", Cost(15)),
        ("$2y$31$CCCCCCCCCCCCCCCCCCCCC.8igw9jrmlEHR8G./hJvpAZecHhYM7hi", Cost(31)),
    ] {
        assert_eq!(Hash::read(text), Err(expected), "{text}");
    }
    for (line, expected) in
        [("", Wrong::NoColon), ("ann", Wrong::NoColon), (":x", Wrong::Name), ("a\tb:x", Wrong::Name)]
    {
        assert_eq!(User::read(line).map(drop), Err(expected), "{line:?}");
    }
}

fn users(mode: Mode) -> Policy {
    let lines = [
        "ann:$2b$04$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi",
        "bob:{SHA}3OptnM09ILoVSfbZtd3mB0IViII=",
        "cläre:$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M.",
    ];
    let list = lines.into_iter().map(|line| User::read(line).expect("a line")).collect();
    let users = Users::new(mode, "a \"b\" \\", list).expect("no name twice");
    Policy { users: Some(Arc::new(users)), ..Policy::default() }
}

/// Who is let in at that time, and how often something had to be found out.
fn admitted(
    policy: &Policy,
    line: &str,
    ring: &KeyRing,
    now_ms: i64,
) -> (Result<Option<String>, Refusal>, u32) {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n").into_bytes();
    let head =
        HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head").expect("all of it");
    let asked =
        Asked { head: &head, bytes: &bytes, peer: ([10, 0, 0, 1], 1).into(), unix_ms: now_ms, digest: None };
    let admit = || policy.admit(&asked, ring).map(|identity| identity.name().map(str::to_owned));
    match admit() {
        Err(Refusal::Unjudged) => {
            let question = policy.question(&asked).expect("there is one");
            ring.verdicts().borrow_mut().put(question.mark, question.holds(), (now_ms, now_ms + 1000));
            (admit(), 1)
        }
        said => (said, 0),
    }
}

fn basic(credentials: &str) -> String {
    let mut text = Vec::new();
    crate::base::base64::push(&mut text, credentials.as_bytes());
    format!("Authorization: Basic {}\r\n", String::from_utf8(text).expect("it is ASCII"))
}

#[test]
fn who_knows_a_password_is_known_by_name() {
    let challenge: Arc<str> = "Basic realm=\"a \\\"b\\\" \\\\\"".into();
    let (no, wrong) = (Refusal::NoPassword(challenge.clone()), Refusal::WrongPassword(challenge));
    for mode in [Mode::Strict, Mode::Optional, Mode::Permissive] {
        let policy = users(mode);
        let none = if mode == Mode::Strict { Err(no.clone()) } else { Ok(None) };
        let bad = if mode == Mode::Permissive { Ok(None) } else { Err(wrong.clone()) };
        let is = |name: &str| Ok(Some(name.to_owned()));
        for (line, expected, asks) in [
            (String::new(), none.clone(), 0),
            ("Authorization: Bearer a\r\n".to_owned(), none.clone(), 0),
            ("x-api-key: a\r\n".to_owned(), none, 0),
            (basic("ann:opensesame"), is("ann"), 1),
            (basic("bob:a:b"), is("bob"), 1),
            (basic("cläre:opensesame"), is("cläre"), 1),
            (basic("ann:opensesame").replace("Basic ", "BASIC   ").replace('=', ""), is("ann"), 1),
            (basic("ann:opensesam"), bad.clone(), 1),
            (basic("Ann:opensesame"), bad.clone(), 1),
            (basic("eve:opensesame"), bad.clone(), 1),
            (basic(":opensesame"), bad.clone(), 1),
            (basic("ann"), bad.clone(), 0),
            (basic("ann:open\u{0}"), bad.clone(), 0),
            (basic(&format!("ann:{}", "x".repeat(CREDENTIALS_MAX))), bad.clone(), 0),
            (basic(&format!("ann:{}", "x".repeat(CREDENTIALS_MAX - 4))), bad.clone(), 1),
            ("Authorization: Basic \r\n".to_owned(), bad.clone(), 0),
            ("Authorization: Basic !!!!\r\n".to_owned(), bad.clone(), 0),
        ] {
            let ring = KeyRing::default();
            // What is remembered is for a while; a password that holds, from its last use on.
            let is_right = matches!(expected, Ok(Some(_)));
            let rows =
                [(0, asks), (999, 0), (1000, if is_right { 0 } else { asks }), (1999, 0), (2999, asks)];
            for (now, asks) in rows {
                // The head is trimmed, so "Basic" alone is no scheme with something behind it.
                let expected = match line.as_str() {
                    "Authorization: Basic \r\n" if mode == Mode::Strict => Err(no.clone()),
                    "Authorization: Basic \r\n" => Ok(None),
                    _ => expected.clone(),
                };
                assert_eq!(admitted(&policy, &line, &ring, now), (expected, asks), "{mode:?} {now} {line}");
            }
        }
    }
}

#[test]
fn a_line_that_changes_is_judged_again_and_no_name_stands_twice() {
    let ring = KeyRing::default();
    let of = |lines: &[&str]| {
        Users::new(Mode::Strict, "r", lines.iter().map(|line| User::read(line).expect("a line")).collect())
    };
    let policy =
        |line: &str| Policy { users: Some(Arc::new(of(&[line]).expect("one"))), ..Policy::default() };
    let asks = |line: &str| {
        let (said, asks) = admitted(&policy(line), &basic("ann:opensesame"), &ring, 0);
        (said.is_ok(), asks)
    };
    let (old, new) = ("ann:{SHA}F2GPAaOiG5EcklvLUlodIavTBnM=", "ann:$apr1$ab$A6HT7AKuN9MGR0ozwCqMo0");
    for (line, expected) in
        [(old, (true, 1)), (old, (true, 0)), (new, (false, 1)), (new, (false, 0)), (old, (true, 0))]
    {
        assert_eq!(asks(line), expected, "{line}");
    }
    let nobody = Policy { users: Some(Arc::new(of(&[]).expect("none"))), ..Policy::default() };
    let (said, asks) = admitted(&nobody, &basic("ann:opensesame"), &ring, 0);
    assert_eq!((said, asks), (Err(Refusal::WrongPassword("Basic realm=\"r\"".into())), 0));
    assert_eq!(of(&["a:{SHA}F2GPAaOiG5EcklvLUlodIavTBnM=", old, new]).map(drop), Err(TwinUsers(1, 2)));
}

#[test]
fn guesses_drive_out_guesses_alone() {
    let mut verdicts = Verdicts::default();
    let mark = |number: u32| digest_of(&[&number.to_le_bytes()]);
    verdicts.put(mark(0), true, (0, 1000));
    (1..10_000).for_each(|number| verdicts.put(mark(number), false, (0, 1000)));
    assert_eq!(verdicts.get(&mark(0), 999), Some(true));
    let kept = (1..10_000).filter(|number| verdicts.get(&mark(*number), 999).is_some()).count();
    assert!((REMEMBERED_MAX / 2..=REMEMBERED_MAX).contains(&kept), "{kept}");
    assert_eq!(verdicts.get(&mark(0), 1998), Some(true), "it was used at 999");
    assert_eq!(verdicts.get(&mark(0), 2998), None);
}

/// Blocks of a hash, roughly: a round of bcrypt sets up Blowfish twice.
fn blocks(decoy: work::Decoy) -> u64 {
    match decoy {
        work::Decoy::Bcrypt(cost) => 256 << cost,
        work::Decoy::Apr1 => 1000,
        work::Decoy::Sha1 => 1,
    }
}

fn blocks_of(hash: &Hash) -> u64 {
    blocks(match hash {
        Hash::Bcrypt { cost, .. } => work::Decoy::Bcrypt(*cost),
        Hash::Apr1 { .. } => work::Decoy::Apr1,
        Hash::Sha1(_) => work::Decoy::Sha1,
    })
}

#[test]
fn a_password_that_does_not_hold_costs_as_much_for_every_name() {
    let bcrypt = |cost: u32| format!("$2b${cost:02}$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi");
    let (apr1, sha1) = ("$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M.", "{SHA}3OptnM09ILoVSfbZtd3mB0IViII=");
    for list in [
        vec![sha1.to_owned()],
        vec![apr1.to_owned(), sha1.to_owned()],
        vec![bcrypt(4), bcrypt(5)],
        vec![bcrypt(14), sha1.to_owned(), bcrypt(4), bcrypt(10), apr1.to_owned()],
    ] {
        let hashes: Vec<Hash> = list.iter().map(|text| Hash::read(text).expect("a hash")).collect();
        let work = Work::of(hashes.iter());
        let unknown: u64 = work.beside(None).map(blocks).sum();
        assert!(unknown >= hashes.iter().map(blocks_of).max().unwrap_or(0));
        for hash in &hashes {
            let known = blocks_of(hash) + work.beside(Some(hash)).map(blocks).sum::<u64>();
            assert_eq!(known, unknown, "{list:?}: {hash:?}");
        }
    }
    assert_eq!(Work::of([].iter()).beside(None).count(), 0);
}

#[test]
fn a_name_that_is_not_known_is_bounded_as_one_that_is() {
    let policy = users(Mode::Strict);
    let user = |credentials: &str| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", basic(credentials)).into_bytes();
        let head = HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head").expect("all");
        let asked =
            Asked { head: &head, bytes: &bytes, peer: ([10, 0, 0, 1], 1).into(), unix_ms: 0, digest: None };
        policy.question(&asked).expect("there is one").user
    };
    for name in ["ann", "nobody"] {
        assert_eq!(user(&format!("{name}:a")), user(&format!("{name}:b")), "{name}");
    }
    assert!(user("nobody:a") != user("noone:a") && user("nobody:a") != user("ann:a"));
}

/// Where nobody has room to judge it, a password is nobody's if a wrong one would be.
#[test]
fn what_is_not_judged_is_let_through_where_a_wrong_one_is() {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("ann:opensesame")).into_bytes();
    let head = HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head").expect("all");
    let asked =
        Asked { head: &head, bytes: &bytes, peer: ([10, 0, 0, 1], 1).into(), unix_ms: 0, digest: None };
    for mode in [Mode::Strict, Mode::Optional, Mode::Permissive] {
        let (policy, ring) = (users(mode), KeyRing::default());
        let expected = if mode == Mode::Permissive { Ok(None) } else { Err(Refusal::Unjudged) };
        let found = policy.admit_unjudged(&asked, &ring).map(|identity| {
            assert!(identity.shows_password, "it goes no further");
            identity.name().map(str::to_owned)
        });
        assert_eq!(found, expected, "{mode:?}");
        assert_eq!(policy.admit(&asked, &ring).map(drop), Err(Refusal::Unjudged), "{mode:?}");
    }
}
