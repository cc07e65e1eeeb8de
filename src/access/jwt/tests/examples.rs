//! The examples of RFC 7515 appendix A and RFC 8037 appendix A.

use super::super::algorithm::Algorithm;
use super::*;

const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const NONE: &str = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
const RSA_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const OCT_KEY: &str = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;

#[test]
fn rfc_7515_appendix_a() {
    let set = format!(r#"{{"keys":[{RSA_KEY},{OCT_KEY},{EC_KEY}]}}"#);
    let keys = Keys::read(set.as_bytes()).expect("a key set");
    assert_eq!(
        (keys.len(), &keys.skipped[..]),
        (2, &["key 1 is a shared secret, which is not accepted (kty)".to_owned()][..])
    );
    let issuer = Issuer { name: "joe".to_owned(), audiences: Vec::new(), source: 0 };
    let (verifier, keys) = (Verifier { issuers: vec![issuer] }, [Some(Arc::new(keys))]);
    let (ends, what) = (1_300_819_380, "it holds until then");
    for (token, expected) in
        [(RS256, Ok(())), (ES256, Ok(())), (HS256, Err(Fault::Algorithm)), (NONE, Err(Fault::Algorithm))]
    {
        let at = |now| verifier.verify(token.as_bytes(), [0; 32], &keys, now).map(|_| ());
        assert_eq!(at(ends - 1), expected, "{what}");
        assert_eq!(at(ends + LEEWAY_S), expected.and(Err(Fault::Expired)), "{what}");
    }
    let claims = verifier.verify(RS256.as_bytes(), [7; 32], &keys, ends - 1).expect("it is good");
    assert_eq!(claims.all["http://example.com/is_root"], true);
    assert_eq!(claims.digest, [7; 32]);
}

/// Its payload is no JSON, so only the signature is looked at.
#[test]
fn rfc_8037_appendix_a_4() {
    let set =
        br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = Keys::read(set).expect("a key set");
    let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = base64::decode_url_exact(
        b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    let signature = signature.expect("base64");
    let key = keys.fitting(None, Algorithm::EdDsa).next().expect("a key");
    assert!(key.verifies(Algorithm::EdDsa, signed, &signature));
    assert!(!key.verifies(Algorithm::EdDsa, &signed[1..], &signature));
    assert!(!key.verifies(Algorithm::Es256, signed, &signature));
}
