use super::{Credentials, Signer, container, domain, is_region};
use crate::llm::auth::answer::{excerpt, instant, unexpected};
use crate::llm::auth::{Answer, Env, Fault, Fetch, Url, variable};
use std::borrow::Cow;

/// AWS's token service in one region, where roles are assumed (STS API Reference). What it gives out is good in all
/// regions.
#[derive(Debug)]
pub struct Sts {
    url: Url,
    region: Box<str>,
}

pub(super) const WHO: &str = "the AWS token service";
pub(super) const UNREACHED: &str = "make sure that it can be reached from here, or set AWS_ENDPOINT_URL_STS";
const VERSION: &str = "2011-06-15";

/// The variables that name a region; the second one is the CLI's.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
const ENDPOINTS_IGNORED: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";

impl Sts {
    /// Where the environment says it is; else in the region that it names, or else in `region`.
    ///
    /// # Errors
    /// Variables that cannot be what they are, or an endpoint that is far away and in the clear.
    pub(super) fn from_env(env: Env<'_>, region: &str) -> Result<Sts, Fault> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| variable(env, name).map(|value| (name, value)))
        };
        let region = first(REGIONS).map_or_else(|| region.to_owned(), |(_, region)| region);
        if !is_region(&region) {
            let help = "write one such as us-east-1";
            return Err(Fault::new(format!("the AWS region {:?} cannot be one", excerpt(&region)), help));
        }
        let is_ignored = variable(env, ENDPOINTS_IGNORED).is_some_and(|is| is.eq_ignore_ascii_case("true"));
        let url = match first(ENDPOINTS).filter(|_| !is_ignored) {
            None => Url::https(format!("sts.{region}.{}", domain(&region)), "/"),
            Some((name, text)) => endpoint(name, &text)?,
        };
        Ok(Sts { url, region: region.into() })
    }

    /// The request for `action`.
    pub(super) fn ask(&self, action: &str, fields: &[(&str, &str)]) -> Fetch {
        let fields = [&[("Action", action), ("Version", VERSION)], fields].concat();
        Fetch::form(self.url.clone(), &fields)
    }

    /// The same, signed.
    pub(super) fn ask_as(
        &self,
        credentials: &Credentials,
        unix_s: u64,
        action: &str,
        fields: &[(&str, &str)],
    ) -> Fetch {
        self.ask(action, fields).signed(&mut Signer::new(&self.region, "sts"), credentials, unix_s)
    }

    /// The credentials that were answered.
    ///
    /// Its XML is not parsed but searched: for the first element of a name, without attributes, that holds text alone.
    /// So AWS writes these answers. Comments and CDATA are not known; what they could hide is refused where it is no
    /// credential.
    ///
    /// # Errors
    /// A refusal, or what are no credentials.
    pub(super) fn read(answer: Answer<'_>, help: &'static str) -> Result<Credentials, Fault> {
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

/// An endpoint of one's own. AWS takes every one; what is sent and answered is good for somebody else too, so that here it
/// goes in the clear to this host only.
fn endpoint(name: &str, text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).ok_or_else(|| {
        Fault::new(format!("the environment's {name:?} is no URL"), "write one, with https:// in front")
    })?;
    match url.tls || container::is_near(&url.host) {
        true => Ok(url),
        false => {
            let what = format!("the environment's {name:?} is in the clear and far away");
            Err(Fault::new(what, "use https: credentials would be read on the way"))
        }
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

    fn sts(variables: &[(&str, &str)], region: &str) -> Result<String, String> {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        let sts = Sts::from_env(&env, region).map_err(|fault| fault.to_string())?;
        let scheme = if sts.url.tls { "https" } else { "http" };
        let authority = String::from_utf8_lossy(&sts.url.authority()).into_owned();
        Ok(format!("{scheme}://{authority}{} {}", sts.url.target, sts.region))
    }

    #[test]
    fn it_is_where_the_environment_says_or_in_the_region() {
        let (region, cli) = (("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-north-1"));
        let (own, all) =
            ((ENDPOINTS[0], "https://vpce-1.sts.example/x"), (ENDPOINTS[1], "http://127.0.0.1:4566"));
        let ignored = (ENDPOINTS_IGNORED, "True");
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let rows: [(Variables<'_>, &str, &str); 8] = [
            (&[], "us-east-1", "https://sts.us-east-1.amazonaws.com/ us-east-1"),
            (&[], "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/ cn-north-1"),
            (&[cli], "us-east-1", "https://sts.eu-north-1.amazonaws.com/ eu-north-1"),
            (&[cli, region], "us-east-1", "https://sts.eu-west-1.amazonaws.com/ eu-west-1"),
            (&[own, region], "us-east-1", "https://vpce-1.sts.example/x eu-west-1"),
            (&[own, all], "us-east-1", "https://vpce-1.sts.example/x us-east-1"),
            (&[all], "us-east-1", "http://127.0.0.1:4566/ us-east-1"),
            (&[all, ignored], "us-east-1", "https://sts.us-east-1.amazonaws.com/ us-east-1"),
        ];
        for (variables, region, expected) in rows {
            assert_eq!(sts(variables, region).as_deref(), Ok(expected), "{variables:?}");
        }
        for (variables, expected) in [
            (
                (ENDPOINTS[0], "sts.example"),
                "the environment's \"AWS_ENDPOINT_URL_STS\" is no URL; write one",
            ),
            (
                (ENDPOINTS[0], "http://sts.example"),
                "the environment's \"AWS_ENDPOINT_URL_STS\" is in the clear and far away; use https",
            ),
            (
                ("AWS_REGION", "evil.example/"),
                "the AWS region \"evil.example/\" cannot be one; write one such",
            ),
        ] {
            let fault = sts(&[variables], "us-east-1").expect_err(expected);
            assert!(fault.starts_with(expected), "{fault}");
        }
        for bad in ["", "US-EAST-1", &"a".repeat(64)] {
            assert!(sts(&[], bad).is_err(), "{bad}");
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
        let answer = Answer { status, body: body.as_bytes() };
        Sts::read(answer, "make sure that the role trusts it").map_err(|fault| fault.to_string())
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
