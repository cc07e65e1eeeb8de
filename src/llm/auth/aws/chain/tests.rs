use super::*;
use crate::base::Secret;
use crate::llm::auth::{Fetch, Received};
use std::cell::RefCell;

const ROLE: &str = "arn:aws:iam::1:role/r";
const TOKEN_FILE: &str = "/var/run/secrets/token";
const NOW: u64 = 1_440_938_160; // 2015-08-30T12:36:00Z

type Variables<'a> = &'a [&'a [(&'a str, &'a str)]];

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
const IDENTITY: [(&str, &str); 2] = [("AWS_ROLE_ARN", ROLE), ("AWS_WEB_IDENTITY_TOKEN_FILE", TOKEN_FILE)];
const HOME: [(&str, &str); 1] = [("HOME", "/h")];
const RELATIVE: [(&str, &str); 1] = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")];
const FULL: [(&str, &str); 2] = [
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/token"),
];
const DISABLED: [(&str, &str); 1] = [("AWS_EC2_METADATA_DISABLED", "TRUE")];

fn chain(variables: Variables<'_>) -> Result<Chain, String> {
    let variables = variables.concat();
    let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
    Chain::from_env(&env, "eu-west-1").map_err(|fault| fault.to_string())
}

#[test]
fn places_are_in_the_order_of_the_sdks() {
    let (profile, instance) = (
        "the profile \"default\" of \"/h/.aws/credentials\" and \"/h/.aws/config\", else ",
        "the EC2 metadata service at 169.254.169.254",
    );
    let rows: [(Variables<'_>, &str); 9] = [
        (&[], instance),
        (&[&HOME], &format!("{profile}{instance}")),
        (&[&HOME, &[("AWS_PROFILE", "work")]], &format!("{}{instance}", profile.replace("default", "work"))),
        (&[&HOME, &DISABLED], profile.trim_end_matches(", else ")),
        (&[&HOME, &FULL], &format!("{profile}the container's endpoint at 169.254.170.23")),
        (&[&FULL, &RELATIVE], "the container's endpoint at 169.254.170.2"),
        (
            &[&FULL, &HOME, &IDENTITY],
            "the role arn:aws:iam::1:role/r with the token in \"/var/run/secrets/token\"",
        ),
        (&[&FULL, &HOME, &IDENTITY, &KEYS], "keys of the environment"),
        (&[&[("AWS_ACCESS_KEY_ID", ""), ("AWS_ROLE_ARN", "")]], instance),
    ];
    for (variables, expected) in rows {
        let chain = chain(variables).expect("places");
        assert_eq!(chain.to_string(), expected, "{variables:?}");
        assert!(!format!("{chain:?}").contains("s3cret"));
    }
}

#[test]
fn variables_that_contradict_one_another_are_named() {
    let rows: [(Variables<'_>, &str); 8] = [
        (&[&KEYS[..1]], "the environment has no \"AWS_SECRET_ACCESS_KEY\", but another"),
        (&[&[("AWS_SESSION_TOKEN", "t")]], "the environment has no \"AWS_ACCESS_KEY_ID\", but another part"),
        (&[&IDENTITY[..1]], "the environment has \"AWS_ROLE_ARN\" and no \"AWS_WEB_IDENTITY_TOKEN_FILE\""),
        (
            &[&IDENTITY[1..]],
            "the environment has \"AWS_WEB_IDENTITY_TOKEN_FILE\" and no \"AWS_ROLE_ARN\"; set both",
        ),
        (&[&[("AWS_REGION", "EU")]], "the AWS region \"EU\" cannot be one"),
        (
            &[&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x")]],
            "the environment's \"AWS_CONTAINER_CREDENTIALS_FULL_URI\" is in the clear and far away; use https",
        ),
        (&[&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "x")]], "the environment's \"AWS_EC2_METADATA_SERVICE_"),
        (
            &[&DISABLED],
            "there is no place to look for credentials of AWS; write the keys into a Secret, or set AWS_",
        ),
    ];
    for (variables, expected) in rows {
        let fault = chain(variables).expect_err(expected);
        assert!(fault.starts_with(expected), "{fault}");
    }
}

// === what is fetched ===

/// Paths and texts.
type Files = &'static [(&'static str, &'static str)];

/// Files, and an answer for each request in its turn; all requests that were sent.
struct World {
    files: Files,
    answers: RefCell<Vec<(u16, String)>>,
    asked: RefCell<Vec<String>>,
}

impl World {
    fn new(files: Files, answers: &[(u16, String)]) -> World {
        let answers = RefCell::new(answers.iter().rev().cloned().collect());
        World { files, answers, asked: RefCell::default() }
    }

    /// What is fetched: the access key, the session token, the end.
    fn fetch(&self, variables: Variables<'_>) -> Result<(String, String, Option<u64>), String> {
        let files = |path: &str| match self.files.iter().find(|(name, _)| *name == path) {
            Some((_, "locked")) => Err("permission denied".to_owned()),
            found => Ok(found.map(|(_, text)| (*text).to_owned())),
        };
        let send = |fetch: &Fetch| {
            let mut out = Vec::new();
            fetch.write(&mut out);
            self.asked.borrow_mut().push(String::from_utf8_lossy(&out).into_owned());
            let (status, body) = self.answers.borrow_mut().pop().ok_or("it is not there")?;
            Ok(Received { status, body: Secret::new(body.into_bytes()) })
        };
        let outside = Outside { files: &files, send: &send, unix_s: NOW };
        let chain = chain(variables)?;
        let keys = chain.fetch(&outside).map_err(|fault| fault.to_string())?;
        let token = keys.session_token().map(|token| String::from_utf8_lossy(token.expose()).into_owned());
        Ok((keys.access_key().to_owned(), token.unwrap_or_default(), keys.expires))
    }

    /// The first lines and the hosts of what was asked.
    fn asked(&self) -> Vec<String> {
        let short = |text: &String| {
            let mut lines = text.lines();
            let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
            format!("{line} {}", lines.next().unwrap_or_default().trim_start_matches("host: "))
        };
        self.asked.borrow().iter().map(short).collect()
    }
}

fn sts(key: &str) -> (u16, String) {
    let text = format!(
        "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s3cret-{key}</SecretAccessKey><SessionToken>t-{key}\
         </SessionToken><Expiration>2015-08-30T13:36:00Z</Expiration></Credentials>"
    );
    (200, text)
}

fn json(key: &str, expires: &str) -> (u16, String) {
    let text = format!(
        r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s3cret","Token":"t-{key}","Expiration":"{expires}"}}"#
    );
    (200, text)
}

fn found(key: &str, expires: u64) -> Result<(String, String, Option<u64>), String> {
    Ok((key.to_owned(), format!("t-{key}"), Some(expires)))
}

const LATER: &str = "2015-08-30T13:36:00Z";
const STS: &str = "POST / sts.eu-west-1.amazonaws.com";
const METADATA: [&str; 3] = [
    "PUT /latest/api/token 169.254.169.254",
    "GET /latest/meta-data/iam/security-credentials/ 169.254.169.254",
    "GET /latest/meta-data/iam/security-credentials/edge 169.254.169.254",
];

fn metadata(key: &str, expires: &str) -> [(u16, String); 3] {
    [(200, "AQAA==".to_owned()), (200, "edge".to_owned()), json(key, expires)]
}

#[test]
fn the_first_place_that_has_credentials_is_asked_and_no_other() {
    let world = World::new(&[], &[]);
    assert_eq!(world.fetch(&[&KEYS, &IDENTITY]), Ok(("AKIA1".to_owned(), String::new(), None)));
    assert_eq!(world.asked(), [""; 0]);

    let world = World::new(&[(TOKEN_FILE, "eyJ.a.b\n")], &[sts("ASIA1")]);
    assert_eq!(world.fetch(&[&IDENTITY, &HOME, &FULL]), found("ASIA1", NOW + 3600));
    assert_eq!(world.asked(), [STS]);

    let profile = [("/h/.aws/credentials", "[default]\naws_access_key_id=AKIA2\naws_secret_access_key=s")];
    let world = World::new(Box::leak(Box::new(profile)), &[]);
    assert_eq!(world.fetch(&[&HOME, &FULL]), Ok(("AKIA2".to_owned(), String::new(), None)));
    assert_eq!(world.asked(), [""; 0]);

    let world = World::new(&[("/var/run/token", "Bearer.x")], &[json("ASIA2", LATER)]);
    assert_eq!(world.fetch(&[&HOME, &FULL]), found("ASIA2", NOW + 3600));
    assert_eq!(world.asked(), ["GET /v1/credentials 169.254.170.23"]);
    assert!(world.asked.borrow()[0].contains("\r\nauthorization: Bearer.x\r\n"));

    let world = World::new(&[("/h/.aws/config", "[default]\nregion = x")], &metadata("ASIA3", LATER));
    assert_eq!(world.fetch(&[&HOME]), found("ASIA3", NOW + 3600));
    assert_eq!(world.asked(), METADATA);
}

#[test]
fn roles_of_profiles_are_assumed_by_signed_requests() {
    let world = World::new(
        &[
            ("/h/.aws/credentials", "[base]\naws_access_key_id=AKIA1\naws_secret_access_key=s3cret"),
            (
                "/h/.aws/config",
                "[default]\nrole_arn=r2\nsource_profile=mid\nexternal_id=id:1\n[profile mid]\nrole_arn=r1\nsource_profile=base",
            ),
        ],
        &[sts("ASIA1"), sts("ASIA2")],
    );
    assert_eq!(world.fetch(&[&HOME]), found("ASIA2", NOW + 3600));
    assert_eq!(world.asked(), [STS; 2]);
    let asked = world.asked.borrow();
    let body =
        "Action=AssumeRole&Version=2011-06-15&RoleArn=r1&RoleSessionName=tollgate&DurationSeconds=3600";
    assert!(asked[0].ends_with(&format!("\r\n\r\n{body}")), "{}", asked[0]);
    assert!(
        asked[0].contains(
            "\r\nauthorization: AWS4-HMAC-SHA256 Credential=AKIA1/20150830/eu-west-1/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature="
        ),
        "{}",
        asked[0]
    );
    assert!(asked[1].contains("RoleArn=r2") && asked[1].ends_with("&ExternalId=id%3A1"), "{}", asked[1]);
    assert!(asked[1].contains("\r\nx-amz-security-token: t-ASIA1\r\n"), "{}", asked[1]);
    assert!(asked[1].contains("Credential=ASIA1/20150830/eu-west-1/sts/aws4_request"), "{}", asked[1]);
    assert!(asked.iter().all(|text| !text.contains("s3cret")));

    let by_instance = World::new(
        &[("/h/.aws/config", "[default]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata")],
        &[&metadata("ASIA1", LATER)[..], &[sts("ASIA2")]].concat(),
    );
    // A container's endpoint is no reason not to ask the instance, when a profile says so.
    assert_eq!(by_instance.fetch(&[&HOME, &FULL]), found("ASIA2", NOW + 3600));
    assert_eq!(by_instance.asked(), [&METADATA[..], &[STS]].concat());
}

#[test]
fn what_fails_is_named_and_nothing_else_is_tried() {
    type Row<'a> = (Variables<'a>, Files, &'a [(u16, &'a str)], &'a str);
    let rows: [Row<'_>; 13] = [
        (
            &[&IDENTITY, &FULL],
            &[],
            &[],
            "the file \"/var/run/secrets/token\" that holds a token is not there; mount",
        ),
        (
            &[&IDENTITY],
            &[(TOKEN_FILE, "locked")],
            &[],
            "the file \"/var/run/secrets/token\" cannot be read: permission",
        ),
        (&[&IDENTITY], &[(TOKEN_FILE, "")], &[], "the file \"/var/run/secrets/token\" holds no token"),
        (
            &[&IDENTITY],
            &[(TOKEN_FILE, "eyJ.a.b")],
            &[],
            "the AWS token service cannot be reached (it is not there); make",
        ),
        (
            &[&IDENTITY],
            &[(TOKEN_FILE, "eyJ.a.b")],
            &[(403, "")],
            "the AWS token service answered 403; make sure that the role trusts the identity",
        ),
        (
            &[&HOME, &FULL],
            &[("/h/.aws/config", "x")],
            &[],
            "/h/.aws/config:1: neither a section nor a setting",
        ),
        (
            &[&HOME, &[("AWS_PROFILE", "work")]],
            &[],
            &[],
            "the profile \"work\" of \"/h/.aws/credentials\" and \"/h/.aws/config\" has no",
        ),
        (&[&FULL], &[], &[], "the file \"/var/run/token\" that holds a token is not there; correct"),
        (
            &[&RELATIVE],
            &[],
            &[],
            "the container's credential endpoint cannot be reached (it is not there); make sure that a role",
        ),
        (
            &[],
            &[],
            &[],
            "the EC2 metadata service cannot be reached (it is not there); make sure that the instance",
        ),
        (&[], &[], &[(200, "AQAA=="), (404, "")], "the EC2 metadata service answered 404; make sure"),
        (
            &[&HOME],
            &[("/h/.aws/config", "[default]\nrole_arn=r\ncredential_source=Environment")],
            &[],
            "the AWS profile has credential_source \"Environment\", and AWS_ACCESS_KEY_ID is not set",
        ),
        (
            &[&HOME, &DISABLED],
            &[("/h/.aws/config", "[default]\nregion=x")],
            &[],
            "there is no place to look for credentials of AWS",
        ),
    ];
    for (variables, files, answers, expected) in rows {
        let answers: Vec<(u16, String)> =
            answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let fault = World::new(files, &answers).fetch(variables).expect_err(expected);
        assert!(fault.starts_with(expected), "{fault}");
    }
}

#[test]
fn files_are_checked_without_a_request() {
    let check = |variables: Variables<'_>, config: &str| {
        let files = |path: &str| Ok((path == "/h/.aws/config").then(|| config.to_owned()));
        chain(variables).expect("places").check(&files).map_err(|fault| fault.to_string())
    };
    let role = |source: &str| format!("[default]\nrole_arn=r\ncredential_source={source}");
    assert_eq!(check(&[&HOME], ""), Ok(()));
    assert_eq!(check(&[&HOME], &role("Ec2InstanceMetadata")), Ok(()));
    assert_eq!(check(&[&HOME, &FULL], &role("EcsContainer")), Ok(()));
    // The token's file may come later, as volumes do.
    assert_eq!(check(&[&IDENTITY, &HOME], "x"), Ok(()));
    for (variables, config, expected) in [
        (
            &[&HOME[..]][..],
            role("Environment"),
            "credential_source \"Environment\", and AWS_ACCESS_KEY_ID is not",
        ),
        (
            &[&HOME],
            role("EcsContainer"),
            "credential_source \"EcsContainer\", and AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        (
            &[&HOME, &DISABLED],
            role("Ec2InstanceMetadata"),
            "credential_source \"Ec2InstanceMetadata\", and AWS_EC2_METADATA_DISABLED is true",
        ),
        (&[&HOME], "[default]\nsso_session=x".to_owned(), "has \"sso_session\", which is not looked up"),
        (
            &[&HOME],
            "[default]\ncredential_process=x".to_owned(),
            "has \"credential_process\", which is not looked up",
        ),
    ] {
        let fault = check(variables, &config).expect_err(expected);
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn an_instance_whose_credentials_have_ended_uses_them_on() {
    let world = World::new(&[], &metadata("ASIA1", "2015-08-30T12:36:00Z"));
    assert_eq!(world.fetch(&[]), found("ASIA1", NOW + 600));
    let world = World::new(&[], &metadata("ASIA1", "2015-08-30T12:36:01Z"));
    assert_eq!(world.fetch(&[]), found("ASIA1", NOW + 1));
}
