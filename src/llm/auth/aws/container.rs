use super::Credentials;
use crate::base::Secret;
use crate::llm::auth::answer::{instant, is_visible, texts, unexpected};
use crate::llm::auth::{Answer, Env, Fault, Fetch, Outside, Url, variable};
use crate::wire::json::find;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The endpoint that a container is given for its credentials (AWS SDKs and Tools Reference Guide, "Container
/// credential provider"): the agent of EKS Pod Identity, or of ECS.
#[derive(Debug)]
pub struct Container {
    /// What is asked.
    pub url: Url,
    /// What proves who asks.
    pub token: ContainerToken,
}

/// The token that the endpoint wants.
#[derive(Debug, PartialEq, Eq)]
pub enum ContainerToken {
    /// None.
    None,
    /// This one.
    Text(Secret),
    /// What is in this file when it is asked: the file is renewed.
    File(String),
}

const ECS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
const EKS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);
const EKS_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

const WHO: &str = "the container's credential endpoint";
const HELP: &str = "make sure that a role is associated with the service account or the task";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

impl Container {
    pub(super) fn from_env(env: Env<'_>) -> Result<Option<Container>, Fault> {
        let (name, text) = match (variable(env, RELATIVE), variable(env, FULL)) {
            (Some(path), _) => (RELATIVE, format!("http://{ECS}/{}", path.trim_start_matches('/'))),
            (None, Some(url)) => (FULL, url),
            (None, None) => return Ok(None),
        };
        let url = Url::parse(&text).ok_or_else(|| {
            let help = "write a path into the one, or a URL with http:// or https:// into the other";
            Fault::new(format!("the environment's {name:?} is no path or URL"), help)
        })?;
        if !url.tls && !is_near(&url.host) {
            let help = "use https: in the clear, credentials are fetched from this host and ECS's and EKS's addresses";
            return Err(Fault::new(format!("the environment's {name:?} is in the clear and far away"), help));
        }
        let text = || variable(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
        let token = match variable(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => ContainerToken::File(path),
            None => text()
                .map_or(ContainerToken::None, |text| ContainerToken::Text(Secret::new(text.into_bytes()))),
        };
        Ok(Some(Container { url, token }))
    }

    /// The credentials that it has now.
    pub(super) fn ask(&self, outside: &Outside<'_>) -> Result<Arc<Credentials>, Fault> {
        let token = match &self.token {
            ContainerToken::File(path) => {
                Some(outside.text(path, "correct AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?)
            }
            _ => None,
        };
        let received = outside.ask(&self.fetch(token.as_deref())?, WHO, HELP)?;
        Container::read(received.answer()).map(Arc::new)
    }

    /// The request; `file` is the text of the token's file, if there is one.
    ///
    /// # Errors
    /// A token that cannot be sent.
    fn fetch(&self, file: Option<&str>) -> Result<Fetch, Fault> {
        const TOKEN_BYTES_MAX: usize = 16 << 10;
        let text = match &self.token {
            ContainerToken::None => None,
            ContainerToken::Text(text) => Some(String::from_utf8_lossy(text.expose())),
            ContainerToken::File(_) => Some(file.unwrap_or_default().into()),
        };
        let fetch = Fetch::get(self.url.clone()).header("accept", "application/json");
        match text.as_deref().map(str::trim) {
            None => Ok(fetch),
            Some(token) if is_visible(token, TOKEN_BYTES_MAX) => Ok(fetch.header("authorization", token)),
            Some(_) => {
                let what = format!("the authorization token for {WHO} is empty or cannot stand in a header");
                Err(Fault::new(what, "it must be visible ASCII characters, at most 16,384"))
            }
        }
    }

    /// What the endpoint answered.
    ///
    /// # Errors
    /// A refusal, or what are no credentials.
    fn read(answer: Answer<'_>) -> Result<Credentials, Fault> {
        let body = answer.accepted(WHO, HELP, |body| texts(body, &["code", "message"]))?;
        read_json(WHO, body)
    }
}

/// Credentials as the endpoints of containers and instances write them.
pub(super) fn read_json(who: &str, body: &[u8]) -> Result<Credentials, Fault> {
    if find::value(body, &[]).is_none() {
        return Err(unexpected(who, "is not JSON"));
    }
    let names = ["AccessKeyId", "SecretAccessKey", "Token"];
    let keys = Credentials::read(who, names, |name| find::string(body, &[name]))?;
    let keys = keys.ok_or_else(|| unexpected(who, "holds no \"AccessKeyId\""))?;
    let expires = match find::value(body, &["Expiration"]) {
        None => None,
        Some(_) => {
            let at = find::string(body, &["Expiration"]).and_then(|text| instant(&text));
            Some(at.ok_or_else(|| unexpected(who, "has an \"Expiration\" that is no time"))?)
        }
    };
    Ok(keys.until(expires))
}

/// Whether credentials may be fetched from there in the clear (AWS SDKs and Tools Reference Guide, "Container credential
/// provider"). Names are not looked up: of those that mean this host one is known.
pub(super) fn is_near(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || [ECS, EKS].contains(&v4),
        Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6 == EKS_IPV6,
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(variables: &[(&str, &str)]) -> Result<Container, String> {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        Container::from_env(&env).map(|found| found.expect("a container")).map_err(|fault| fault.to_string())
    }

    fn written(container: &Container, file: Option<&str>) -> Result<String, String> {
        let mut out = Vec::new();
        container.fetch(file).map_err(|fault| fault.to_string())?.write(&mut out);
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn the_endpoint_is_asked_with_its_token() {
        let full = (FULL, "http://169.254.170.23/v1/credentials");
        let (text, file) = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let head = |target: &str, host: &str, rest: &str| {
            Ok(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n{rest}\r\n"))
        };
        let ask =
            |variables: &[(&str, &str)], file| written(&container(variables).expect("a container"), file);
        assert_eq!(
            ask(&[(RELATIVE, "/v2/credentials/x?y")], None),
            head("/v2/credentials/x?y", "169.254.170.2", "")
        );
        let with_token = head("/v1/credentials", "169.254.170.23", "authorization: Bearer.x\r\n");
        assert_eq!(ask(&[full, (text, "Bearer.x")], None), with_token);
        assert_eq!(ask(&[full, (text, "other"), (file, "/token")], Some("Bearer.x\n")), with_token);
        for bad in [None, Some(""), Some(" \n"), Some("a\r\nx: y"), Some("a b"), Some("é")] {
            let fault = ask(&[full, (file, "/token")], bad).expect_err("no token");
            assert!(
                fault.starts_with(
                    "the authorization token for the container's credential endpoint is empty or"
                )
            );
        }
    }

    #[test]
    fn in_the_clear_only_what_is_near_is_asked() {
        for (url, is_asked) in [
            ("http://127.0.0.1:8080/x", true),
            ("http://127.9.9.9/x", true),
            ("http://localhost/x", true),
            ("http://[::1]/x", true),
            ("http://169.254.170.2/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("https://credentials.example/x", true),
            ("http://credentials.example/x", false),
            ("http://169.254.169.254/x", false),
            ("http://10.0.0.1/x", false),
            ("http://[fd00:ec2::24]/x", false),
            ("http://localhost.example/x", false),
            ("credentials.example", false),
        ] {
            assert_eq!(container(&[(FULL, url)]).is_ok(), is_asked, "{url}");
        }
    }

    #[test]
    fn answers_are_credentials_or_say_why_not() {
        let good = r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"s3cret","Token":"t3ken",
                       "Expiration":"2015-08-30T12:36:00Z","RoleArn":"arn:aws:iam::1:role/r","AccountId":"1"}"#;
        let read = |status, body: &str| Container::read(Answer { status, body: body.as_bytes() });
        let keys = read(200, good).expect("credentials");
        assert_eq!((keys.access_key(), keys.expires), ("ASIA1", Some(1_440_938_160)));
        assert_eq!(keys.secret_key().expose(), b"s3cret");
        assert_eq!(keys.session_token().map(Secret::expose), Some(&b"t3ken"[..]));
        let bare = read(200, r#"{"AccessKeyId":"AKIA1","SecretAccessKey":"s3cret"}"#).expect("credentials");
        assert!(bare.expires.is_none() && bare.session_token().is_none());

        let who = WHO;
        for (status, body, expected) in [
            (
                403,
                r#"{"code":"AccessDenied","message":"no"}"#,
                format!("{who} answered 403: AccessDenied: no; make"),
            ),
            (500, "oops s3cret", format!("{who} answered 500; make sure that a role")),
            (200, "", format!("{who} gave an answer that is not JSON")),
            (200, &good[..60], format!("{who} gave an answer that is not JSON")),
            (200, "[]", format!("{who} gave an answer that holds no \"AccessKeyId\"")),
            (
                200,
                r#"{"AccessKeyId":7,"Token":null}"#,
                format!("{who} gave an answer that holds no \"AccessKeyId\""),
            ),
            (
                200,
                r#"{"AccessKeyId":"A","Token":"s3cret"}"#,
                format!("{who} has no \"SecretAccessKey\", but another"),
            ),
            (
                200,
                &good.replace("08-30", "30-08"),
                format!("{who} gave an answer that has an \"Expiration\" that is"),
            ),
            (
                200,
                &good.replace("\"2015-08-30T12:36:00Z\"", "12"),
                format!("{who} gave an answer that has an \"Exp"),
            ),
            (200, &good.replace("t3ken", "s3cret s3cret"), format!("the \"Token\" of {who} cannot be one")),
        ] {
            let fault = read(status, body).expect_err(&expected).to_string();
            assert!(fault.starts_with(&expected) && !fault.contains("s3cret"), "{fault}");
        }
    }
}
