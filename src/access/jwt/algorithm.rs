//! How tokens are signed: the algorithms of RFC 7518 section 3 and RFC 8037 that need no shared secret.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// An `alg` that is accepted. `none`, and HMAC, whose secret who verifies would share with who signs, are not in it; P-521
/// and secp256k1 are not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, by the names that stand in tokens and keys.
    pub const ALL: [(&str, Algorithm); 10] = [
        ("RS256", Algorithm::Rs256),
        ("RS384", Algorithm::Rs384),
        ("RS512", Algorithm::Rs512),
        ("PS256", Algorithm::Ps256),
        ("PS384", Algorithm::Ps384),
        ("PS512", Algorithm::Ps512),
        ("ES256", Algorithm::Es256),
        ("ES384", Algorithm::Es384),
        ("EdDSA", Algorithm::EdDsa),
        ("Ed25519", Algorithm::EdDsa), // RFC 9864
    ];

    /// The algorithm of that name, in its own case.
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// A public key, by what can be verified with it.
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian and without zeros in front.
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
    /// An uncompressed point (SEC 1 section 2.3.3).
    P256([u8; 65]),
    /// An uncompressed point.
    P384([u8; 97]),
    /// RFC 8032.
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Whether a signature by that algorithm can be verified with it: that a token names an algorithm does not make a key
    /// one of that.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        use Algorithm::*;
        match self {
            PublicKey::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            PublicKey::P256(_) => algorithm == Es256,
            PublicKey::P384(_) => algorithm == Es384,
            PublicKey::Ed25519(_) => algorithm == EdDsa,
        }
    }

    /// Whether `signature` is this key's for `signed`; never where the key does not take the algorithm. Some tens of
    /// microseconds, which depend on public values alone.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let by = |way: &'static dyn VerificationAlgorithm, key: &[u8]| {
            self.takes(algorithm) && UnparsedPublicKey::new(way, key).verify(signed, signature).is_ok()
        };
        match self {
            PublicKey::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            PublicKey::P256(point) => by(&ECDSA_P256_SHA256_FIXED, point),
            PublicKey::P384(point) => by(&ECDSA_P384_SHA384_FIXED, point),
            PublicKey::Ed25519(key) => by(&ED25519, key),
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}
