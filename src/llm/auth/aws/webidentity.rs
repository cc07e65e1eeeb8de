use super::Credentials;
use super::role::session;
use super::sts::{self, Sts};
use crate::llm::auth::answer::is_visible;
use crate::llm::auth::{Env, Fault, Fetch, Outside, variable};
use std::sync::Arc;

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
        name: Option<String>,
    ) -> Result<WebIdentity, Fault> {
        Ok(WebIdentity { role, token_file, session: session(place, name)? })
    }

    /// The request to the token service. `token` is the text of the file; space around it is taken off.
    ///
    /// # Errors
    /// A text that is no token.
    fn fetch(&self, sts: &Sts, token: &str) -> Result<Fetch, Fault> {
        // STS API Reference: 4 to 20,000 characters.
        const TOKEN_BYTES_MAX: usize = 20_000;
        let token = token.trim();
        if token.len() < 4 || !is_visible(token, TOKEN_BYTES_MAX) {
            let help = "it must hold one token of 4 to 20,000 visible ASCII characters";
            return Err(Fault::new(format!("the file {:?} holds no token", self.token_file), help));
        }
        let fields =
            [("RoleArn", &self.role[..]), ("RoleSessionName", &self.session), ("WebIdentityToken", token)];
        Ok(sts.ask("AssumeRoleWithWebIdentity", &fields))
    }

    /// The credentials of the role.
    pub(super) fn assume(&self, sts: &Sts, outside: &Outside<'_>) -> Result<Arc<Credentials>, Fault> {
        let token = outside.text(&self.token_file, "mount the token of the service account there")?;
        let received = outside.ask(&self.fetch(sts, &token)?, sts::WHO, sts::UNREACHED)?;
        let help = "make sure that the role trusts the identity provider, and this service account of it";
        Sts::read(received.answer(), help).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(session: Option<&str>) -> Result<WebIdentity, Fault> {
        let (role, file) = ("arn:aws:iam::1:role/r".to_owned(), "/token".to_owned());
        WebIdentity::new("the environment", role, file, session.map(str::to_owned))
    }

    #[test]
    fn the_token_is_sent_in_a_form() {
        let identity = identity(None).expect("an identity");
        let sts = Sts::from_env(&|_| None, "eu-west-1").expect("a region");
        let fetch = identity.fetch(&sts, " eyJ.a+b.c\n").expect("a request");
        assert!(fetch.url.tls && fetch.url.port == 443 && fetch.url.host == "sts.eu-west-1.amazonaws.com");
        assert_eq!((fetch.method, &fetch.url.target[..]), ("POST", "/"));
        assert_eq!(
            String::from_utf8_lossy(fetch.body.expose()),
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
             &RoleSessionName=tollgate&WebIdentityToken=eyJ.a%2Bb.c"
        );
        for bad in ["", " \n", "abc", "two tokens", "é123", &"x".repeat(20_001)] {
            let fault = identity.fetch(&sts, bad).expect_err("no token").to_string();
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
}
