use std::fmt;

/// Why a token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than [`TOKEN_BYTES_MAX`](super::TOKEN_BYTES_MAX).
    TooLong,
    /// It is not three parts of base64url, of which the first two are objects of JSON that name no member twice.
    Malformed,
    /// Its `alg` is `none`, symmetric, or unknown.
    Algorithm,
    /// It wants an extension to be understood (`crit`).
    Critical,
    /// No provider has its `iss`.
    Issuer,
    /// The keys of its provider have not come. It may be good.
    NoKeys {
        /// The place of the source of the keys.
        source: u32,
    },
    /// No key of its provider has its `kid` and takes its `alg`.
    Key {
        /// The place of the source of the keys, which may have new ones.
        source: u32,
    },
    /// It was not signed with that key, or was changed since.
    Signature,
    /// It is for somebody else.
    Audience,
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYet,
    /// It says no end, or its time or its audience is not what RFC 7519 says they are.
    Claims,
}

impl Fault {
    /// What its bearer is told. Fit for `error_description` (RFC 6750 section 3): no quotes and no backslash.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::TooLong => "the bearer token is longer than this gateway reads",
            Fault::Malformed => "the bearer token is not a JSON Web Token",
            Fault::Algorithm => "the bearer token is not signed in a way that this gateway accepts",
            Fault::Critical => "the bearer token wants an extension that this gateway does not have (crit)",
            Fault::Issuer => "the bearer token comes from an issuer that is not accepted here",
            Fault::NoKeys { .. } => "the keys of the issuer of the bearer token are not known at the moment",
            Fault::Key { .. } => "the bearer token is signed with a key that its issuer does not have",
            Fault::Signature => "the signature of the bearer token is wrong",
            Fault::Audience => "the bearer token is not for this audience",
            Fault::Expired => "the bearer token has expired",
            Fault::NotYet => "the bearer token is not valid yet",
            Fault::Claims => "the bearer token has no exp, or an exp, nbf or aud that cannot be one",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}
