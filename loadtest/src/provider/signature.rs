//! AWS's Signature Version 4, verified: the provider makes the text that was signed of what has arrived, and signs it too
//! (IAM User Guide, "Create a signed AWS API request"). It shares nothing with the gateway's signer.

use super::{Ask, Refusal};
use ring::{digest, hmac};

/// The secret key of everybody, unless the script expects another key.
pub const AWS_SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Header lines that a signature must cover, where they are there: those that say what is asked, and by whom.
const COVERED: [&str; 4] = ["content-type", "host", "x-amz-date", "x-amz-security-token"];

/// What an `authorization` line says.
struct Stated<'a> {
    /// Day, region, service, `aws4_request`.
    scope: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

/// A request that may be signed.
struct Signed<'a> {
    method: &'a str,
    target: &'a str,
    /// Header lines, names in lower case.
    lines: Vec<(String, String)>,
    body: &'a [u8],
}

/// Whether the request is signed with the key that is expected.
pub(super) fn check(ask: &Ask<'_>) -> Result<(), Refusal> {
    let (method, target) = (ask.method(), ask.target());
    let signed = Signed { method: &method, target: &target, lines: lines(ask.bytes), body: ask.body };
    let secret = ask.script.expected_key.as_deref().unwrap_or(AWS_SECRET_KEY);
    signed.check("bedrock", secret).map_err(|why| Refusal::new(403, &why))
}

/// Whether a whole request, head and body, is signed for `service` with this key; the error says why not.
///
/// # Errors
/// What is wrong with its signature.
pub fn check_signature(request: &[u8], service: &str, secret: &str) -> Result<(), String> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the head has no end")? + 4;
    let (head, body) = request.split_at(end);
    let line = String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let [method, target] = [(); 2].map(|()| words.next().unwrap_or_default());
    Signed { method, target, lines: lines(head), body }.check(service, secret)
}

impl Signed<'_> {
    fn check(&self, wanted: &str, secret: &str) -> Result<(), String> {
        let value =
            |name: &str| self.lines.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let authorization = value("authorization").ok_or("Missing Authentication Token")?;
        let stated = Stated::read(authorization)
            .ok_or("Authorization header does not have the parts that it must have.")?;
        let date = value("x-amz-date").unwrap_or_default();
        let mut scope = stated.scope.split('/');
        let [day, region, service, end] = [(); 4].map(|()| scope.next().unwrap_or_default());
        if date.get(..8) != Some(day) || service != wanted || region.is_empty() || end != "aws4_request" {
            return Err(format!(
                "Credential should be scoped to a valid region, to the service {wanted} and to the day."
            ));
        }
        if let Some(name) =
            COVERED.iter().find(|name| value(name).is_some() && !stated.signed.contains(*name))
        {
            return Err(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let canonical = self.canonical(&stated.signed);
        let text = format!(
            "{ALGORITHM}\n{date}\n{}\n{}",
            stated.scope,
            hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
        );
        let mut key = format!("AWS4{secret}").into_bytes();
        for step in [day, region, service, end, &text] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec();
        }
        match hex(&key) == stated.signature {
            true => Ok(()),
            false => Err("The request signature we calculated does not match the signature you provided. Check your AWS \
                          Secret Access Key and signing method. Consult the service documentation for details."
                .to_owned()),
        }
    }

    /// What is signed, but for its digest.
    fn canonical(&self, signed: &[&str]) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let path: Vec<String> = path.split('/').map(encoded).collect();
        let mut query: Vec<&str> = query.split('&').collect();
        query.sort_unstable();
        let mut text = format!("{}\n{}\n{}\n", self.method, path.join("/"), query.join("&"));
        for name in signed {
            let lines = self.lines.iter().filter(|(other, _)| other == name);
            let values: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
            text.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        let body = hex(digest::digest(&digest::SHA256, self.body).as_ref());
        format!("{text}\n{}\n{body}", signed.join(";"))
    }
}

impl<'a> Stated<'a> {
    fn read(authorization: &'a str) -> Option<Stated<'a>> {
        let mut parts = authorization.strip_prefix(ALGORITHM)?.split(',').map(str::trim);
        let credential = parts.next()?.strip_prefix("Credential=")?;
        let signed = parts.next()?.strip_prefix("SignedHeaders=")?;
        let signature = parts.next()?.strip_prefix("Signature=")?;
        let (_, scope) = credential.split_once('/')?;
        Some(Stated { scope, signed: signed.split(';').collect(), signature })
    }
}

/// The header lines of a head, names in lower case.
fn lines(head: &[u8]) -> Vec<(String, String)> {
    let mut lines = [httparse::EMPTY_HEADER; crate::limits::HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    // Heads that cannot be parsed have no lines, and so no signature.
    let _ = parsed.parse(head);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    parsed.headers.iter().map(|line| (line.name.to_ascii_lowercase(), text(line.value))).collect()
}

/// A segment of a path, in which percent signs are encoded once more.
fn encoded(segment: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    segment.bytes().map(encode).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
