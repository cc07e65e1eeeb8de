//! Issuers of tokens: their keys as they publish them, and tokens as they sign them. Who includes it has
//! `base::base64` in scope.
#![allow(dead_code, unreachable_pub)] // each who includes it uses a part of it

use super::base64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

/// A key that is good for nothing else.
const RSA_PEM: &str = include_str!("../clouds/account.pem");

/// Every algorithm that is accepted.
pub const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// Who signs, with one key and by one algorithm.
pub struct Signer {
    pub algorithm: &'static str,
    pub kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// A new key; of RSA always the same one, for none can be made here.
    pub fn new(algorithm: &'static str, kid: Option<&str>) -> Signer {
        let ec = |way: &'static EcdsaSigningAlgorithm, curve| {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(way, &random).expect("a key");
            Pair::Ec(EcdsaKeyPair::from_pkcs8(way, pkcs8.as_ref(), &random).expect("a key"), curve)
        };
        let pair = match algorithm {
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "EdDSA" => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
                Pair::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"))
            }
            _ => Pair::Rsa(Box::new(rsa())),
        };
        Signer { algorithm, kid: kid.map(str::to_owned), pair }
    }

    /// The public key (RFC 7517), with `kid` and `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({"kty": "RSA", "n": encoded(&n), "e": encoded(&e)})
            }
            Pair::Ec(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref())})
            }
        };
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm);
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({"typ": "JWT", "alg": self.algorithm});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        self.signed(&header.to_string(), &claims.to_string())
    }

    /// A token with this header and payload, whatever they are, signed by this key's own algorithm.
    pub fn signed(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encoded(header.as_bytes()), encoded(payload.as_bytes()));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encoded(&signature))
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding(self.algorithm), &random, signed, &mut signature).expect("a signature");
                signature
            }
            Pair::Ec(pair, _) => pair.sign(&random, signed).expect("a signature").as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }
}

/// The key set of these.
pub fn key_set<'a>(signers: impl IntoIterator<Item = &'a Signer>) -> String {
    let keys: Vec<Value> = signers.into_iter().map(Signer::jwk).collect();
    json!({ "keys": keys }).to_string()
}

pub fn encoded(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    base64::push_url(&mut out, bytes);
    String::from_utf8(out).expect("ASCII")
}

fn rsa() -> RsaKeyPair {
    let body: String = RSA_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaKeyPair::from_pkcs8(&base64::decode(body.as_bytes()).expect("base64")).expect("a key")
}

fn encoding(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        other => panic!("{other} is not RSA"),
    }
}
