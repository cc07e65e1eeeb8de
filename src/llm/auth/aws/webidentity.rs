use super::instance::is_role_name;
use super::{Credentials, domain, is_region};
use crate::llm::auth::answer::{excerpt, instant, is_visible, unexpected};
use crate::llm::auth::{Answer, Env, Fault, Fetch, Url, variable};
use std::borrow::Cow;

/// A role that is assumed with a token of somebody else (STS API Reference, AssumeRoleWithWebIdentity): on EKS that of
/// the service account (IRSA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The ARN of the role.
    pub role: String,
    /// Where the token is; the file is renewed, so it is read for each request.
    pub token_file: String,
    /// What the session is called in AWS's logs.
    pub session: String,
}

const WHO: &str = "the AWS token service";
const ROLE: &str = "AWS_ROLE_ARN";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

impl WebIdentity {
    pub(super) fn from_env(env: Env<'_>) -> Result<Option<WebIdentity>, Fault> {
        let (role, file) = match (variable(env, ROLE), variable(env, TOKEN_FILE)) {
            (Some(role), Some(file)) => (role, file),
            (None, None) => return Ok(None),
            (role, _) => {
                let (has, lacks) = if role.is_some() { (ROLE, TOKEN_FILE) } else { (TOKEN_FILE, ROLE) };
                return Err(Fault::new(
                    format!("the environment has {has:?} and no {lacks:?}"),
                    "set both, or neither",
                ));
            }
        };
        WebIdentity::new("the environment", role, file, variable(env, "AWS_ROLE_SESSION_NAME")).map(Some)
    }

    /// As `place` has it.
    pub(super) fn new(
        place: &str,
        role: String,
        token_file: String,
        session: Option<String>,
    ) -> Result<WebIdentity, Fault> {
        let session = session.unwrap_or_else(|| "tollgate".to_owned());
        match is_role_name(&session) && session.len() > 1 {
            true => Ok(WebIdentity { role, token_file, session }),
            false => {
                let help = "write 2 to 64 letters, digits or characters of _+=,.@-";
                Err(Fault::new(
                    format!("the name that {place} has for the session of a role cannot be one"),
                    help,
                ))
            }
        }
    }

    /// The request to the token service of a region. `token` is the text of the file; space around it is taken off.
    ///
    /// # Errors
    /// A text that is no token, or no region.
    pub fn fetch(&self, region: &str, token: &str) -> Result<Fetch, Fault> {
        // STS API Reference: 4 to 20,000 characters.
        const TOKEN_BYTES_MAX: usize = 20_000;
        let token = token.trim();
        if token.len() < 4 || !is_visible(token, TOKEN_BYTES_MAX) {
            let help = "it must hold one token of 4 to 20,000 visible ASCII characters";
            return Err(Fault::new(format!("the file {:?} holds no token", self.token_file), help));
        }
        if !is_region(region) {
            let help = "write one such as us-east-1";
            return Err(Fault::new(format!("the AWS region {:?} cannot be one", excerpt(region)), help));
        }
        let url = Url::https(format!("sts.{region}.{}", domain(region)), "/");
        Ok(Fetch::form(
            url,
            &[
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleArn", &self.role),
                ("RoleSessionName", &self.session),
                ("WebIdentityToken", token),
            ],
        ))
    }

    /// What the token service answered.
    ///
    /// Its XML is not parsed but searched: for the first element of a name, without attributes, that holds text alone.
    /// So AWS writes these answers. Comments and CDATA are not known; what they could hide is refused where it is no
    /// credential.
    ///
    /// # Errors
    /// A refusal, or what are no credentials.
    pub fn read(answer: Answer<'_>) -> Result<Credentials, Fault> {
        let help = "make sure that the role trusts the identity provider, and this service account of it";
        let body = answer.accepted(WHO, help, |body| {
            let error = element(str::from_utf8(body).ok()?, "Error")?;
            let text = |name| element(error, name).and_then(unescape);
            Some([text("Code")?, text("Message").unwrap_or_default()].join(": "))
        })?;
        let body = str::from_utf8(body).map_err(|_| unexpected(WHO, "is not UTF-8"))?;
        let holder =
            element(body, "Credentials").ok_or_else(|| unexpected(WHO, "holds no \"Credentials\""))?;
        let names = ["AccessKeyId", "SecretAccessKey", "SessionToken"];
        let keys = Credentials::read(WHO, names, |name| element(holder, name).and_then(unescape))?;
        let keys = keys.filter(|keys| keys.session_token().is_some());
        let keys = keys.ok_or_else(|| unexpected(WHO, "holds no \"SessionToken\""))?;
        let expires = element(holder, "Expiration").and_then(instant);
        // These always end, and who does not know when would use them for ever.
        let expires = expires.ok_or_else(|| unexpected(WHO, "has no \"Expiration\" that is a time"))?;
        Ok(keys.until(Some(expires)))
    }
}

/// What stands between the first `<name>` and the next `</name>`.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    Some(after.split_once(&format!("</{name}>"))?.0)
}

/// Text with the five entities of XML replaced; `None` when there is another one, or an element.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('<') {
        return None;
    }
    let mut parts = text.split('&');
    let first = parts.next()?;
    parts.try_fold(Cow::Borrowed(first), |whole, part| {
        let (name, after) = part.split_once(';')?;
        let character = match name {
            "amp" => "&",
            "lt" => "<",
            "gt" => ">",
            "quot" => "\"",
            "apos" => "'",
            _ => return None,
        };
        Some(Cow::Owned([&whole, character, after].concat()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn identity(session: Option<&str>) -> Result<WebIdentity, Fault> {
        let (role, file) = ("arn:aws:iam::1:role/r".to_owned(), "/token".to_owned());
        WebIdentity::new("the environment", role, file, session.map(str::to_owned))
    }

    #[test]
    fn the_token_is_sent_in_a_form() {
        let identity = identity(None).expect("an identity");
        for (region, host) in
            [("eu-west-1", "sts.eu-west-1.amazonaws.com"), ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn")]
        {
            let fetch = identity.fetch(region, " eyJ.a+b.c\n").expect("a request");
            assert!(fetch.url.tls && fetch.url.port == 443 && fetch.url.host == host);
            assert_eq!((fetch.method, &fetch.url.target[..]), ("POST", "/"));
            assert_eq!(
                String::from_utf8_lossy(fetch.body.expose()),
                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
                 &RoleSessionName=tollgate&WebIdentityToken=eyJ.a%2Bb.c"
            );
        }
        for bad in ["", "evil.example/", "US-EAST-1", &"a".repeat(64)] {
            let fault = identity.fetch(bad, "eyJ.a.b").expect_err("no region").to_string();
            assert!(
                fault.starts_with("the AWS region ") && fault.ends_with("write one such as us-east-1"),
                "{fault}"
            );
        }
        for bad in ["", " \n", "abc", "two tokens", "é123", &"x".repeat(20_001)] {
            let fault = identity.fetch("eu-west-1", bad).expect_err("no token").to_string();
            assert!(fault.starts_with("the file \"/token\" holds no token; it must hold"), "{fault}");
        }
    }

    #[test]
    fn sessions_have_names_that_aws_takes() {
        let long = "x".repeat(65);
        for (session, is) in
            [("a@b", true), (&long[1..], true), ("a", false), ("", false), ("a b", false), (&long, false)]
        {
            assert_eq!(identity(Some(session)).is_ok(), is, "{session}");
        }
    }

    /// As the STS API Reference shows it.
    const GOOD: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:llm:gateway</SubjectFromWebIdentityToken>
    <Audience>sts.amazonaws.com</Audience>
    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/tollgate</Arn></AssumedRoleUser>
    <Credentials>
      <SessionToken>AQoDYXdz+/==&amp;</SessionToken>
      <SecretAccessKey>s3cret</SecretAccessKey>
      <Expiration>2015-08-30T12:36:00Z</Expiration>
      <AccessKeyId>ASIA1</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#;

    fn read(status: u16, body: &str) -> Result<Credentials, String> {
        WebIdentity::read(Answer { status, body: body.as_bytes() }).map_err(|fault| fault.to_string())
    }

    #[test]
    fn credentials_are_found_in_the_answer() {
        let keys = read(200, GOOD).expect("credentials");
        assert_eq!((keys.access_key(), keys.expires), ("ASIA1", Some(1_440_938_160)));
        assert_eq!(keys.secret_key().expose(), b"s3cret");
        assert_eq!(keys.session_token().map(Secret::expose), Some(&b"AQoDYXdz+/==&"[..]));
    }

    #[test]
    fn answers_that_give_nothing_say_why() {
        let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>\
                       <Message>No &quot;provider&quot;</Message></Error><RequestId>x</RequestId></ErrorResponse>";
        let without = |name: &str| GOOD.replace(&format!("<{name}>"), "<x>");
        let rows = [
            (
                400,
                refusal.to_owned(),
                "answered 400: InvalidIdentityToken: No \"provider\"; make sure that the role",
            ),
            (503, "busy".to_owned(), "answered 503; make sure"),
            (200, String::new(), "gave an answer that holds no \"Credentials\""),
            (200, GOOD[..300].to_owned(), "gave an answer that holds no \"Credentials\""),
            (200, without("AccessKeyId"), "has no \"AccessKeyId\", but another part"),
            (200, without("SecretAccessKey"), "has no \"SecretAccessKey\", but another part"),
            (200, without("Expiration"), "gave an answer that has no \"Expiration\" that is a time"),
            (200, GOOD.replace("2015-", "15-"), "gave an answer that has no \"Expiration\" that is a time"),
            (200, GOOD.replace("&amp;", "&#38;"), "gave an answer that holds no \"SessionToken\""),
            (200, without("SessionToken"), "gave an answer that holds no \"SessionToken\""),
            (200, GOOD.replace("ASIA1", "<b>ASIA1</b>"), "has no \"AccessKeyId\""),
            (200, GOOD.replace("s3cret", "<!-- s3cret -->"), "has no \"SecretAccessKey\""),
        ];
        for (status, body, expected) in rows {
            let fault = read(status, &body).expect_err(expected);
            assert!(fault.starts_with(&format!("{WHO} {expected}")) && !fault.contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn entities_are_replaced() {
        for (text, plain) in [
            ("a", Some("a")),
            ("", Some("")),
            ("&lt;a&gt; &amp;&quot;&apos;", Some("<a> &\"'")),
            ("&amp;lt;", Some("&lt;")),
            ("a & b", None),
            ("&", None),
            ("&nbsp;", None),
            ("a<b/>", None),
        ] {
            assert_eq!(unescape(text).as_deref(), plain, "{text}");
        }
    }
}
