//! Roles of AWS that are assumed, by TLS, at a token service of the test's own: with a token of somebody else, or with keys.

use super::*;
use crate::endpoint::{BEDROCK, Endpoint, ask, file, in_seconds, signer};
use support::until;
use tollgate_loadtest::{AWS_SECRET_KEY, check_signature};

const ROLE: &str = "arn:aws:iam::123456789012:role/edge";

/// What the token service answers.
fn granted(action: &str, access: &str, seconds: i64) -> (u16, String) {
    let text = format!(
        "<{action}Response><{action}Result><Credentials><AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{AWS_SECRET_KEY}\
         </SecretAccessKey><SessionToken>token-{access}</SessionToken><Expiration>{}</Expiration></Credentials>\
         </{action}Result></{action}Response>",
        in_seconds(seconds)
    );
    (200, text)
}

fn refused(code: &str) -> (u16, String) {
    (403, format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"))
}

#[test]
fn a_web_identity_is_renewed_with_the_token_that_is_in_its_file_then() {
    let token = file("token", "eyJ.first.x\n");
    let endpoint = Endpoint::start_secure(|_, text| {
        let action = "AssumeRoleWithWebIdentity";
        let body = format!(
            "Action={action}&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fedge&RoleSessionName=pod-1\
             &WebIdentityToken=eyJ."
        );
        let token = text.split(&body).nth(1).unwrap_or_default();
        assert!(text.starts_with("POST / HTTP/1.1\r\n") && !text.contains("authorization:"), "{text}");
        match token {
            "first.x" => granted(action, "ASIA1", 4),
            "second.x" => granted(action, "ASIA2", 3_600),
            _ => refused("InvalidIdentityToken"),
        }
    });
    let variables = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_SESSION_NAME", "pod-1"),
        ("AWS_ENDPOINT_URL_STS", &endpoint.url()),
        // A web identity goes before both.
        ("HOME", "/nowhere"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x"),
    ];
    let rig = endpoint.rig(script(), &backend(BEDROCK), &variables);
    assert_eq!((ask(&rig).status, signer(&rig)), (200, "ASIA1".to_owned()));
    std::fs::write(&token, "eyJ.second.x").expect("a file");
    until("others are used", || ask(&rig).status == 200 && signer(&rig) == "ASIA2");
    assert_eq!(seen(&rig).header("x-amz-security-token"), Some("token-ASIA2"));
    rig.assert_ledgers_agree();
}

#[test]
fn a_role_of_a_profile_is_assumed_by_a_signed_request() {
    const BASE: &str = "base/secret+key";
    let credentials =
        file("credentials", &format!("[base]\naws_access_key_id = AKIA1\naws_secret_access_key = {BASE}\n"));
    let config = file(
        "config",
        &format!(
            "[profile work]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = id:1\nduration_seconds = 900\n"
        ),
    );
    let endpoint = Endpoint::start_secure(|_, text| {
        let action = "AssumeRole";
        let body = format!(
            "\r\n\r\nAction={action}&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fedge\
             &RoleSessionName=tollgate&DurationSeconds=900&ExternalId=id%3A1"
        );
        assert!(text.ends_with(&body) && !text.contains(BASE), "{text}");
        // The region is the environment's, whatever that of the Backend is.
        assert!(
            text.contains("Credential=AKIA1/") && text.contains("/eu-north-1/sts/aws4_request"),
            "{text}"
        );
        match check_signature(text.as_bytes(), "sts", BASE) {
            Ok(()) => granted(action, "ASIA1", 3_600),
            Err(why) => panic!("{why}\n{text}"),
        }
    });
    let variables = [
        ("AWS_PROFILE", "work"),
        ("AWS_SHARED_CREDENTIALS_FILE", &credentials),
        ("AWS_CONFIG_FILE", &config),
        ("AWS_REGION", "eu-north-1"),
        ("AWS_ENDPOINT_URL_STS", &endpoint.url()),
    ];
    let rig = endpoint.rig(script(), &backend(BEDROCK), &variables);
    let answer = ask(&rig);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(signer(&rig), "ASIA1");
    let signed = seen(&rig).header("authorization").expect("a signature").to_owned();
    assert!(signed.contains("/eu-west-1/bedrock/aws4_request"), "{signed}");
    assert_eq!(endpoint.asked().len(), 1);
}

#[test]
fn keys_of_a_profile_sign_themselves() {
    let text = format!("[default]\naws_access_key_id = AKIA7\naws_secret_access_key = {AWS_SECRET_KEY}\n");
    let credentials = file("credentials", &text);
    let endpoint = Endpoint::start(|_, text| panic!("{text}"));
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", &credentials[..]),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint.url()),
    ];
    let rig = endpoint.rig(script(), &backend(BEDROCK), &variables);
    assert_eq!((ask(&rig).status, signer(&rig)), (200, "AKIA7".to_owned()));
    assert_eq!(seen(&rig).header("x-amz-security-token"), None);
}

#[test]
fn a_token_service_that_is_not_verified_gets_no_token() {
    let token = file("token", "eyJ.a.b");
    let endpoint = Endpoint::start_secure(|_, _| granted("AssumeRoleWithWebIdentity", "ASIA1", 3_600));
    let other = Endpoint::start_secure(|_, text| panic!("{text}"));
    let url = other.url();
    let variables =
        [("AWS_ROLE_ARN", ROLE), ("AWS_WEB_IDENTITY_TOKEN_FILE", &token), ("AWS_ENDPOINT_URL_STS", &url)];
    // The roots are those of the first one.
    let rig = endpoint.rig(script(), &backend(BEDROCK), &variables);
    assert_eq!(ask(&rig).status, 503);
    assert_eq!((endpoint.asked().len(), other.asked().len()), (0, 0));
}
