use crate::base::Secret;
use crate::llm::auth::answer::{is_visible, texts, unexpected};
use crate::llm::auth::{Answer, Fault};
use crate::wire::json::find;
use std::fmt;

/// An access token.
///
/// `Debug` shows when it ends and nothing else.
#[derive(PartialEq, Eq)]
pub struct Token {
    /// The value of `authorization`, `Bearer ` included.
    pub authorization: Secret,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// The project that pays, where a user's grant names one: the value of `x-goog-user-project`.
    pub quota_project: Option<Box<str>>,
}

impl Token {
    /// The token that `who` answered with (RFC 6749 section 5): Google's token endpoint or a metadata server. `unix_s` is
    /// the time when it was asked, in seconds since 1970.
    ///
    /// # Errors
    /// A refusal, with what the endpoint says of it and `help`, or what is no token.
    pub(super) fn read(
        answer: Answer<'_>,
        (who, help): (&str, &'static str),
        unix_s: u64,
    ) -> Result<Token, Fault> {
        const TOKEN_BYTES_MAX: usize = 16 << 10;
        let body = answer.accepted(who, help, |body| texts(body, &["error", "error_description"]))?;
        if find::value(body, &[]).is_none() {
            return Err(unexpected(who, "is not JSON"));
        }
        let kind = find::string(body, &["token_type"]);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
            return Err(unexpected(who, "holds no bearer token"));
        }
        let token = find::string(body, &["access_token"]).filter(|token| is_visible(token, TOKEN_BYTES_MAX));
        let token = token.ok_or_else(|| unexpected(who, "has no \"access_token\" that can be one"))?;
        let seconds =
            find::u64(body, &["expires_in"]).ok_or_else(|| unexpected(who, "has no \"expires_in\""))?;
        let authorization = Secret::new([b"Bearer ", token.as_bytes()].concat());
        Ok(Token { authorization, expires: unix_s.saturating_add(seconds), quota_project: None })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(***, until {})", self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "Google's token endpoint";

    fn token(status: u16, body: &str) -> Result<Token, String> {
        let answer = Answer { status, body: body.as_bytes() };
        Token::read(answer, (WHO, "make sure that the account is enabled"), 1000)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn tokens_are_read_with_their_end() {
        for body in [
            r#"{"access_token":"ya29.s3cret","expires_in":3599,"token_type":"Bearer"}"#,
            r#"{"access_token":"ya29.s3cret", "expires_in":3599, "scope":"x", "token_type":"bearer", "id_token":"y"}"#,
        ] {
            let token = token(200, body).expect("a token");
            assert_eq!((token.authorization.expose(), token.expires), (&b"Bearer ya29.s3cret"[..], 4599));
            assert_eq!(format!("{token:?}"), "Token(***, until 4599)");
        }
        let body = format!(r#"{{"access_token":"a","expires_in":{},"token_type":"Bearer"}}"#, u64::MAX);
        assert_eq!(token(200, &body).map(|token| token.expires), Ok(u64::MAX));
    }

    #[test]
    fn answers_that_give_nothing_say_why() {
        let refusal = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
        let long =
            format!(r#"{{"access_token":"{}","expires_in":1,"token_type":"Bearer"}}"#, "x".repeat(16_385));
        for (status, body, expected) in [
            (
                400,
                refusal,
                "answered 400: invalid_grant: Invalid JWT Signature.; make sure that the account is enabled",
            ),
            (404, "s3cret", "answered 404; make sure"),
            (200, "", "gave an answer that is not JSON"),
            (200, r#"{"access_token":"s3cret""#, "gave an answer that is not JSON"),
            (200, "{}", "gave an answer that holds no bearer token"),
            (
                200,
                r#"{"access_token":"s3cret","expires_in":1,"token_type":"mac"}"#,
                "gave an answer that holds no bearer",
            ),
            (200, r#"{"expires_in":1,"token_type":"Bearer"}"#, "gave an answer that has no \"access_token\""),
            (
                200,
                r#"{"access_token":"","expires_in":1,"token_type":"Bearer"}"#,
                "gave an answer that has no \"acc",
            ),
            (
                200,
                r#"{"access_token":"s3cret\r\nx","expires_in":1,"token_type":"Bearer"}"#,
                "gave an answer that has no",
            ),
            (200, &long, "gave an answer that has no \"access_token\""),
            (
                200,
                r#"{"access_token":"s3cret","token_type":"Bearer"}"#,
                "gave an answer that has no \"expires_in\"",
            ),
            (
                200,
                r#"{"access_token":"s3cret","expires_in":-1,"token_type":"Bearer"}"#,
                "gave an answer that has no \"ex",
            ),
        ] {
            let fault = token(status, body).expect_err(expected);
            assert!(fault.starts_with(&format!("{WHO} {expected}")) && !fault.contains("s3cret"), "{fault}");
        }
    }
}
