use super::key::{Fields, TOKEN_URI};
use crate::base::base64;
use crate::llm::auth::{Fault, Fetch, Url};
use crate::wire::json::find;
use crate::wire::json::write::Object;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use std::borrow::Cow;
use std::fmt;

/// A service account: it signs that it is itself, and gets access tokens for that (Google Identity, "Using OAuth 2.0
/// for Server to Server Applications").
///
/// `Debug` shows its address and the id of its key.
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    token_uri: String,
    token_url: Url,
}

/// What the tokens are good for: everything that the account may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest life that Google takes.
const LIFE_S: u64 = 3600;

impl ServiceAccount {
    pub(super) fn read(fields: &Fields<'_>) -> Result<ServiceAccount, Fault> {
        let token_uri = match find::string(fields.json, &["token_uri"]) {
            Some(uri) => uri.into_owned(),
            None => TOKEN_URI.to_owned(),
        };
        let token_url = Url::parse(&token_uri).filter(|url| url.tls).ok_or_else(|| {
            Fault::new(
                "the \"token_uri\" of the Google key is no https URL",
                format!("Google's own is {TOKEN_URI}"),
            )
        })?;
        Ok(ServiceAccount {
            email: fields.visible("client_email")?.into_owned(),
            key_id: find::string(fields.json, &["private_key_id"]).map(Cow::into_owned),
            key: private_key(&fields.text("private_key")?)?,
            token_uri,
            token_url,
        })
    }

    /// The account's address, which names it in IAM.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// RFC 7523 section 2.1.
    pub(super) fn fetch(&self, unix_s: u64) -> Result<Fetch, Fault> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &self.assertion(unix_s)?),
        ];
        Ok(Fetch::form(self.token_url.clone(), &fields))
    }

    /// A JSON Web Token (RFC 7519) in compact form (RFC 7515 section 7.1), signed with RS256 (RFC 7518 section 3.3).
    fn assertion(&self, unix_s: u64) -> Result<String, Fault> {
        let (mut header, mut claims) = (Vec::new(), Vec::new());
        let mut object = Object::new(&mut header);
        object.string("alg", "RS256").string("typ", "JWT");
        self.key_id.iter().for_each(|id| {
            object.string("kid", id);
        });
        drop(object);
        Object::new(&mut claims)
            .string("iss", &self.email)
            .string("scope", SCOPE)
            .string("aud", &self.token_uri)
            .integer("iat", unix_s)
            .integer("exp", unix_s.saturating_add(LIFE_S));
        let mut token = Vec::new();
        base64::push_url(&mut token, &header);
        token.push(b'.');
        base64::push_url(&mut token, &claims);
        let mut signature = vec![0; self.key.public().modulus_len()];
        // This padding is the same each time: nothing is drawn from the generator (RFC 8017 section 9.2).
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &token, &mut signature).map_err(|_| {
            Fault::new(
                "the \"private_key\" of the Google key cannot sign",
                "make another key for the account",
            )
        })?;
        token.push(b'.');
        base64::push_url(&mut token, &signature);
        Ok(String::from_utf8(token).unwrap_or_default())
    }
}

/// An RSA key of 2048 bits or more, in PKCS #8 (RFC 5208) and PEM.
fn private_key(pem: &str) -> Result<RsaKeyPair, Fault> {
    let refused = |why: &str, help: &'static str| {
        Fault::new(format!("the \"private_key\" of the Google key {why}"), help)
    };
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| match pem {
        _ if pem.contains("\\n") => refused(
            "has \"\\n\" where its lines end",
            "in JSON each line ends with one \\n, not with \\\\n: check how it was quoted",
        ),
        _ if pem.contains("ENCRYPTED") => {
            refused("is encrypted itself", "write the key that Google Cloud gave out")
        }
        _ if pem.contains("BEGIN RSA PRIVATE KEY") => {
            refused("is in PKCS #1", "convert it: openssl pkcs8 -topk8 -nocrypt")
        }
        _ => refused(
            "is no private key in PEM",
            "write it from -----BEGIN PRIVATE KEY----- on, as Google Cloud gave it out",
        ),
    })?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|rejected| {
        refused(&format!("cannot be used: {rejected}"), "it must be an RSA key of 2048 to 4096 bits")
    })
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({}, key {})", self.email, self.key_id.as_deref().unwrap_or("without an id"))
    }
}

#[cfg(test)]
mod tests;
