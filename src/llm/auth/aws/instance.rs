use super::Credentials;
use super::container::read_json;
use crate::base::Secret;
use crate::llm::auth::answer::{excerpt, is_visible, texts, unexpected};
use crate::llm::auth::{Answer, Env, Fault, Fetch, Outside, Url, variable};
use crate::wire::json::find;
use std::sync::Arc;

/// The metadata service of an EC2 instance, version 2 (EC2 User Guide, "Use the Instance Metadata Service to access
/// instance metadata", and "Retrieve security credentials from instance metadata").
///
/// Three requests, each with what the one before gave: for a token, for the name of the role, for its credentials. Version
/// 1, which asks without a token, is not spoken.
#[derive(Debug)]
pub struct Instance {
    /// Where it listens.
    pub url: Url,
}

const WHO: &str = "the EC2 metadata service";
const HELP: &str = "make sure that the instance has a role, and that its hop limit reaches containers; set \
                    AWS_EC2_METADATA_DISABLED=true where there is no such service";
/// How long credentials are used on that have ended, before they are asked for again.
const EXTENDED_S: u64 = 600;
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

impl Instance {
    pub(super) fn from_env(env: Env<'_>) -> Result<Option<Instance>, Fault> {
        if variable(env, "AWS_EC2_METADATA_DISABLED").is_some_and(|is| is.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let is_ipv6 = match variable(env, MODE) {
            None => false,
            Some(mode) if mode.eq_ignore_ascii_case("IPv4") => false,
            Some(mode) if mode.eq_ignore_ascii_case("IPv6") => true,
            Some(_) => {
                return Err(Fault::new(
                    format!("the environment's {MODE:?} is no mode"),
                    "write IPv4 or IPv6",
                ));
            }
        };
        let url = match variable(env, ENDPOINT) {
            Some(endpoint) => Url::parse(&endpoint).ok_or_else(|| {
                Fault::new(
                    format!("the environment's {ENDPOINT:?} is no URL"),
                    "write one, with http:// in front",
                )
            })?,
            None => Url::http(if is_ipv6 { "fd00:ec2::254" } else { "169.254.169.254" }, "/"),
        };
        Ok(Some(Instance { url }))
    }

    /// The credentials that it has now.
    ///
    /// It may have none but old ones while AWS cannot renew them; then they are to be used on, and services take them
    /// (that is what the SDKs do, and call static stability).
    pub(super) fn ask(&self, outside: &Outside<'_>) -> Result<Arc<Credentials>, Fault> {
        let ask = |fetch: &Fetch| outside.ask(fetch, WHO, HELP);
        let token = Instance::read_token(ask(&self.token())?.answer())?;
        let role = Instance::read_role(ask(&self.role(&token))?.answer())?;
        let found = Instance::read(ask(&self.credentials(&role, &token))?.answer())?;
        let expires = found.expires.map(|expires| match expires > outside.unix_s {
            true => expires,
            false => outside.unix_s.saturating_add(EXTENDED_S),
        });
        Ok(Arc::new(found.until(expires)))
    }

    /// Asks for a token, which the other requests carry. It is good for the longest time that there is, six hours.
    fn token(&self) -> Fetch {
        let fetch = Fetch::new("PUT", self.url.at("/latest/api/token"));
        fetch.header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
    }

    /// The token that was answered.
    ///
    /// # Errors
    /// A refusal, or what is no token.
    fn read_token(answer: Answer<'_>) -> Result<Secret, Fault> {
        let body = answer.accepted(WHO, HELP, |_| None)?;
        let token = str::from_utf8(body).unwrap_or_default().trim();
        match is_visible(token, 1024) {
            true => Ok(Secret::new(token.as_bytes())),
            false => Err(unexpected(WHO, "is no token")),
        }
    }

    /// Asks for the name of the instance's role.
    fn role(&self, token: &Secret) -> Fetch {
        self.get(ROLES, token)
    }

    /// The name that was answered.
    ///
    /// # Errors
    /// A refusal, 404 when the instance has no role, or what is no name.
    fn read_role(answer: Answer<'_>) -> Result<String, Fault> {
        let body = answer.accepted(WHO, HELP, |_| None)?;
        let name = str::from_utf8(body).unwrap_or_default().lines().next().unwrap_or_default().trim();
        match is_role_name(name) {
            true => Ok(name.to_owned()),
            false => Err(unexpected(WHO, "is no name of a role")),
        }
    }

    /// Asks for the credentials of that role.
    fn credentials(&self, role: &str, token: &Secret) -> Fetch {
        self.get(&format!("{ROLES}{role}"), token)
    }

    /// The credentials that were answered.
    ///
    /// # Errors
    /// A refusal, or what are no credentials.
    fn read(answer: Answer<'_>) -> Result<Credentials, Fault> {
        let body = answer.accepted(WHO, HELP, |body| texts(body, &["Code", "Message"]))?;
        // Failures have status 200 too.
        match find::string(body, &["Code"]).filter(|code| code != "Success") {
            Some(code) => Err(Fault::new(format!("{WHO} answered {}", excerpt(&code)), HELP)),
            None => read_json(WHO, body),
        }
    }

    fn get(&self, target: &str, token: &Secret) -> Fetch {
        let token = String::from_utf8_lossy(token.expose());
        Fetch::get(self.url.at(target)).header("x-aws-ec2-metadata-token", &token)
    }
}

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";

/// The names of roles (IAM API Reference, CreateRole) and of their sessions: `[\w+=,.@-]`, at most 64 of them.
pub(super) fn is_role_name(name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(variables: &[(&str, &str)]) -> Result<Instance, String> {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        Instance::from_env(&env).map(|found| found.expect("an instance")).map_err(|fault| fault.to_string())
    }

    fn written(fetch: &Fetch) -> String {
        let mut out = Vec::new();
        fetch.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn three_requests_lead_to_credentials() {
        let instance = instance(&[]).expect("an instance");
        let answer = |body: &'static str| Answer { status: 200, body: body.as_bytes() };
        assert_eq!(
            written(&instance.token()),
            "PUT /latest/api/token HTTP/1.1\r\nhost: 169.254.169.254\r\n\
             x-aws-ec2-metadata-token-ttl-seconds: 21600\r\ncontent-length: 0\r\n\r\n"
        );
        let token = Instance::read_token(answer("AQAAx==\n")).expect("a token");
        let get = |target: &str| {
            format!(
                "GET {target} HTTP/1.1\r\nhost: 169.254.169.254\r\nx-aws-ec2-metadata-token: AQAAx==\r\n\r\n"
            )
        };
        assert_eq!(written(&instance.role(&token)), get(ROLES));
        let role = Instance::read_role(answer("edge-role\n")).expect("a role");
        assert_eq!(written(&instance.credentials(&role, &token)), get(&format!("{ROLES}edge-role")));
        let keys = Instance::read(answer(
            r#"{"Code":"Success","LastUpdated":"2015-08-30T06:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIA1",
                "SecretAccessKey":"s3cret","Token":"t3ken","Expiration":"2015-08-30T12:36:00Z"}"#,
        ));
        let keys = keys.expect("credentials");
        assert_eq!((keys.access_key(), keys.expires), ("ASIA1", Some(1_440_938_160)));
    }

    #[test]
    fn the_environment_says_where_it_listens() {
        let mode = (MODE, "IPv6");
        let url = |variables: &[(&str, &str)]| instance(variables).map(|instance| instance.url);
        assert_eq!(url(&[mode]).map(|url| url.host), Ok("fd00:ec2::254".to_owned()));
        let own = url(&[mode, (ENDPOINT, "http://127.0.0.1:1338/")]).expect("a URL");
        assert_eq!((&own.host[..], own.port), ("127.0.0.1", 1338));
        let fault = url(&[(ENDPOINT, "127.0.0.1")]).expect_err("no URL");
        assert!(
            fault.starts_with("the environment's \"AWS_EC2_METADATA_SERVICE_ENDPOINT\" is no URL; write one")
        );
        assert_eq!(url(&[(MODE, "ipv4")]).map(|url| url.host), Ok("169.254.169.254".to_owned()));
        let fault = url(&[(MODE, "v6")]).expect_err("no mode");
        assert!(fault.ends_with("is no mode; write IPv4 or IPv6"), "{fault}");
    }

    #[test]
    fn answers_that_give_nothing_say_why() {
        type Read = fn(Answer<'_>) -> Result<(), Fault>;
        let (token, role): (Read, Read) =
            (|a| Instance::read_token(a).map(drop), |a| Instance::read_role(a).map(drop));
        let keys: Read = |answer| Instance::read(answer).map(drop);
        let long = "x".repeat(1025);
        for (read, status, body, expected) in [
            (token, 403, "", "answered 403; make sure that the instance has a role"),
            (token, 200, "", "gave an answer that is no token"),
            (token, 200, "<html> </html>", "gave an answer that is no token"),
            (token, 200, &long, "gave an answer that is no token"),
            (role, 404, "<?xml?>", "answered 404; make sure that the instance has a role"),
            (role, 200, "", "gave an answer that is no name of a role"),
            (role, 200, "a/../b", "gave an answer that is no name of a role"),
            (role, 200, &long[..65], "gave an answer that is no name of a role"),
            (keys, 401, "", "answered 401; make"),
            (
                keys,
                200,
                r#"{"Code":"AssumeRoleUnauthorizedAccess"}"#,
                "answered AssumeRoleUnauthorizedAccess; make",
            ),
            (keys, 200, r#"{"Code":"Success"}"#, "gave an answer that holds no \"AccessKeyId\"; make"),
            (keys, 200, "Success", "gave an answer that is not JSON; make"),
        ] {
            let fault = read(Answer { status, body: body.as_bytes() }).expect_err(expected).to_string();
            assert!(fault.starts_with(&format!("{WHO} {expected}")), "{fault}");
        }
    }
}
