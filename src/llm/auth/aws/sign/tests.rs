use super::*;
use proptest::prelude::*;

fn credentials(access: &'static str, secret: &'static str, token: Option<&'static str>) -> Credentials {
    let value = |name: &str| match name {
        "accessKey" => Some(access.as_bytes()),
        "secretKey" => Some(secret.as_bytes()),
        _ => token.map(str::as_bytes),
    };
    Credentials::from_secret(value).expect("credentials")
}

/// A request of the tables: method, target, further headers, body.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

fn signed(signer: &mut Signer, host: &str, row: Row<'_>, credentials: &Credentials, unix_s: u64) -> String {
    let (method, target, headers, body) = row;
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let (path, query) = url::split_query(target.as_bytes());
    let (first, second) = body.as_bytes().split_at(body.len() / 3);
    let request = Request {
        method,
        host: host.as_bytes(),
        path,
        query: query.unwrap_or_default(),
        headers: &headers,
        body: &BodyHash::of([first, second]),
    };
    let mut out = b"before\r\n".to_vec();
    signer.sign(&request, credentials, unix_s, &mut out);
    String::from_utf8(out).expect("ASCII").strip_prefix("before\r\n").expect("what was there").to_owned()
}

const NOON_2015: u64 = 1_440_938_160; // 2015-08-30T12:36:00Z
const HOST_2015: &str = "example.amazonaws.com";
const SECRET_2015: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// AWS's own test suite for signers (aws-c-auth, `aws-signing-test-suite/v4`), and rows of its older edition, whose
/// signatures botocore 1.44 makes too.
#[test]
fn signatures_are_those_of_the_test_suite() {
    const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let unreserved_query = format!("/?{UNRESERVED}={UNRESERVED}");
    let unreserved_path = format!("/{UNRESERVED}");
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let form = "application/x-www-form-urlencoded";
    #[rustfmt::skip]
    let rows: [(Row<'_>, &str, &str); 26] = [
        (("GET", "/", &[], ""), "", vanilla),
        (("GET", "/?", &[], ""), "", vanilla),
        (("GET", "/?Param1=value1", &[], ""), "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        (("GET", "/?Param1=value2&Param1=Value1", &[], ""), "", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
        (("GET", "/?Param2=value2&Param1=value1", &[], ""), "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        (("GET", "/?Param1=value2&Param1=value1", &[], ""), "", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
        (("GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", &[], ""), "", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
        (("GET", "/?\u{1234}=bar", &[], ""), "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (("GET", &unreserved_query, &[], ""), "", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        (("GET", &unreserved_path, &[], ""), "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        (("GET", "/\u{1234}", &[], ""), "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (("GET", "/example space/", &[], ""), "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        (("GET", "/example/..", &[], ""), "", vanilla),
        (("GET", "/example1/example2/../..", &[], ""), "", vanilla),
        (("GET", "//", &[], ""), "", vanilla),
        (("GET", "/./", &[], ""), "", vanilla),
        (("GET", "/./example", &[], ""), "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        (("GET", "//example//", &[], ""), "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        (("GET", "/", &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")], ""), "my-header1", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
        (("GET", "/", &[("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")], ""), "my-header1", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
        (("GET", "/", &[("my-header2", " \"a   b   c\""), ("my-header1", " value1")], ""), "my-header1;my-header2", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        (("POST", "/", &[], ""), "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (("POST", "/?Param1=value1", &[], ""), "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        (("POST", "/", &[("my-header1", "VALUE1")], ""), "my-header1", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        (("POST", "/", &[("content-type", form)], "Param1=value1"), "content-type", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        (("POST", "/", &[("content-type", "application/x-www-form-urlencoded; charset=utf8")], "Param1=value1"), "content-type", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
    ];
    let (mut signer, keys) =
        (Signer::new("us-east-1", "service"), credentials("AKIDEXAMPLE", SECRET_2015, None));
    for (row, headers, signature) in rows {
        let mut names: Vec<&str> = headers.split(';').filter(|name| !name.is_empty()).collect();
        names.extend(["host", "x-amz-date"]);
        names.sort_unstable();
        let expected = format!(
            "x-amz-date: 20150830T123600Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, Signature={signature}\r\n",
            names.join(";")
        );
        assert_eq!(signed(&mut signer, HOST_2015, row, &keys, NOON_2015), expected, "{row:?}");
    }
}

#[test]
fn a_session_token_is_sent_and_signed() {
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    let keys = credentials("AKIDEXAMPLE", SECRET_2015, Some(token));
    let mut signer = Signer::new("us-east-1", "service");
    let expected = format!(
        "x-amz-date: 20150830T123600Z\r\nx-amz-security-token: {token}\r\nauthorization: AWS4-HMAC-SHA256 \
         Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-security-token, \
         Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8\r\n"
    );
    assert_eq!(signed(&mut signer, HOST_2015, ("GET", "/", &[], ""), &keys, NOON_2015), expected);
}

/// What botocore 1.44 makes of requests to Bedrock. One signer makes all of them in this order, so that its remembered
/// key is used, outdated by another day and replaced with other credentials.
#[test]
fn signatures_for_bedrock_are_those_of_botocore() {
    const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}"#;
    const BODY_HASH: &str = "45e583fed2564dc00e823303d7609f8587af7f685b993cb0f998afc0d480b01d";
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLETOKEN//////////wEaCXVzLWVhc3QtMSJHMEUCIQ==";
    let host = "bedrock-runtime.us-east-1.amazonaws.com";
    let haiku = "/model/us.anthropic.claude-3-5-haiku-20241022-v1%3A0/converse";
    let stream = format!("{haiku}-stream");
    let bare = "/model/us.anthropic.claude-3-5-haiku-20241022-v1:0/converse-stream";
    let arn = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F\
               us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse";
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let guarded: &[(&str, &str)] = &[
        json[0],
        ("x-amzn-bedrock-guardrailidentifier", "g1"),
        ("x-amzn-bedrock-guardrailversion", "DRAFT"),
        ("accept", "application/json"),
    ];
    // Services that want the digest of the body as a header get it from the caller.
    let hashed: &[(&str, &str)] = &[json[0], ("x-amz-content-sha256", BODY_HASH)];
    assert_eq!(BodyHash::of([BODY.as_bytes()]).digits(), BODY_HASH.as_bytes());
    #[rustfmt::skip]
    let rows: [(u64, Row<'_>, Option<&'static str>, &str); 8] = [
        (1_730_419_200, ("POST", &stream, json, BODY), None, "1dac187e49aa58c4fe37cafc8277c17ce42e201b67305bdc4f22f1b836c56386"),
        (1_730_419_200, ("POST", bare, json, BODY), None, "b52cb70800ebe95d792811c2966aab58ea26f9c2e25c04db28fef2b907885122"),
        (1_730_505_599, ("POST", haiku, json, BODY), None, "936a097769c1f7f745e95ac61abd5b23165a5529a2ffe00ac10d8e942b54f872"),
        (1_730_505_600, ("POST", haiku, json, BODY), None, "2c2007e0b76d7d0df0cb7dd504fd3294ce712bdbf717d2c2c06025d0c90e9ca7"),
        (1_730_505_600, ("POST", haiku, hashed, BODY), None, "952659004a33c269dea1b51797282e50a7254d9f49386d9c54ad5c8752906a0e"),
        (1_709_208_000, ("POST", arn, json, ""), None, "841889a5624c322367c00bd838d8673bd5c6fba164ea0cc501ecf54c35a596a5"),
        (1_709_208_000, ("POST", "/model/amazon.nova-micro-v1%3A0/invoke", guarded, BODY), Some(TOKEN), "42a144570c0e40bea2c7b72adc2c8dd0012f0f1ce3b750f73ce3966c2a82f6ff"),
        (2_082_758_399, ("POST", "/?b=2&a=1&a-b=0&c=&d=%2F%20f", &[], ""), None, "7a02769154a9f2f596a04d568e0c39be0f907c3946a8902f3e53c3435ffa1537"),
    ];
    let mut signer = Signer::new("us-east-1", "bedrock");
    for (unix_s, row, token, signature) in rows {
        let other = credentials("AKIAIOSFODNN7EXAMPLE", "another", None);
        signed(&mut signer, host, row, &other, unix_s);
        for _ in 0..2 {
            let keys = credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", token);
            let lines = signed(&mut signer, host, row, &keys, unix_s);
            assert!(lines.ends_with(&format!("Signature={signature}\r\n")), "{row:?}: {lines}");
            assert_eq!(lines.contains("x-amz-security-token: "), token.is_some());
        }
    }
}

/// The request that the guide signs: the text that is signed, and the signature.
#[test]
fn the_example_of_the_guide_is_signed_as_there() {
    let headers: &[(&str, &[u8])] =
        &[("content-type", b" application/x-www-form-urlencoded;  charset=utf-8 ")];
    let body = BodyHash::of([]);
    let (host, path, query) =
        (&b"iam.amazonaws.com"[..], &b"/"[..], &b"Version=2010-05-08&Action=ListUsers"[..]);
    let request = Request { method: "GET", host, path, query, headers, body: &body };
    let (keys, date) = (credentials("AKIDEXAMPLE", SECRET_2015, None), date(NOON_2015));
    let mut out = Vec::new();
    push_canonical(&mut out, &request, &Lines::new(&request, &keys, &date));
    let expected = "GET\n/\nAction=ListUsers&Version=2010-05-08\n\
                    content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n\
                    x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(String::from_utf8_lossy(&out), expected);
    let hashed = "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
    assert_eq!(BodyHash::of([&out[..]]).digits(), hashed.as_bytes());
    out.clear();
    Signer::new("us-east-1", "iam").sign(&request, &keys, NOON_2015, &mut out);
    let signature = "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7\r\n";
    assert!(out.ends_with(signature.as_bytes()), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn paths_and_queries_have_one_form() {
    let form = |push: fn(&mut Vec<u8>, &[u8]), text: &str| {
        let mut out = b"x/y/".to_vec();
        push(&mut out, text.as_bytes());
        String::from_utf8(out).expect("ASCII").strip_prefix("x/y/").expect("what was there").to_owned()
    };
    for (path, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("a/b", "/a/b"),
        ("/a%3Ab/c%2fd", "/a%253Ab/c%252fd"),
        ("/..", "/"),
        ("/../..", "/"),
        ("/a/../../b", "/b"),
        ("/a/b/..", "/a"),
        ("/a/./b//c/", "/a/b/c/"),
        ("/...", "/..."),
    ] {
        assert_eq!(form(push_path, path), expected, "{path}");
    }
    for (query, expected) in [
        ("", ""),
        ("a", "a="),
        ("&&a=b&", "a=b"),
        ("a=b=c", "a=b%3Dc"),
        ("b=%7e&a=%2f", "a=%2F&b=~"),
        ("a=x+y", "a=x%2By"),
        ("a=%zz", "a=%25zz"),
        ("a-b=0&a=1", "a=1&a-b=0"),
    ] {
        assert_eq!(form(push_query, query), expected, "{query}");
    }
}

#[test]
fn dates_are_written_in_utc() {
    for (unix_s, text) in [
        (0, "19700101T000000Z"),
        (951_782_400, "20000229T000000Z"),
        (NOON_2015, "20150830T123600Z"),
        (1_767_225_599, "20251231T235959Z"),
        (253_402_207_200, "99991230T220000Z"),
        (u64::MAX, "99991230T220000Z"),
    ] {
        assert_eq!(String::from_utf8_lossy(&date(unix_s)), text);
    }
}

#[test]
fn a_signer_shows_no_key() {
    let (mut signer, keys) =
        (Signer::new("us-east-1", "service"), credentials("AKIDEXAMPLE", SECRET_2015, None));
    signed(&mut signer, HOST_2015, ("GET", "/", &[], ""), &keys, NOON_2015);
    let shown = format!("{signer:?}");
    assert!(shown.contains("us-east-1") && !shown.contains("wJalr"), "{shown}");
}

#[test]
fn a_warm_signer_does_not_allocate() {
    let (mut signer, keys) =
        (Signer::new("us-east-1", "bedrock"), credentials("AKIDEXAMPLE", SECRET_2015, Some("token")));
    let headers: &[(&str, &[u8])] = &[("content-type", b"application/json")];
    let mut out = Vec::with_capacity(4096);
    let mut sign = |unix_s| {
        out.clear();
        let (host, path) = (&b"bedrock-runtime.us-east-1.amazonaws.com"[..], &b"/model/a%3A0/converse"[..]);
        let body = BodyHash::of([&b"{}"[..], b"x"]);
        let request = Request { method: "POST", host, path, query: b"", headers, body: &body };
        signer.sign(&request, &keys, unix_s, &mut out);
    };
    sign(NOON_2015);
    let counted = allocation_counter::measure(|| (0..100).for_each(|second| sign(NOON_2015 + second)));
    assert_eq!(counted.count_total, 0);
}

proptest! {
    /// How a body is cut does not matter, nor where a header stands among the others.
    #[test]
    fn pieces_and_order_do_not_matter(body: Vec<u8>, at: prop::sample::Index, path in "(/[a-zA-Z0-9:%.]{0,6}){0,4}") {
        let (first, second) = body.split_at(at.index(body.len() + 1));
        prop_assert_eq!(BodyHash::of([first, second]), BodyHash::of([&body[..]]));
        let keys = credentials("AKIDEXAMPLE", SECRET_2015, None);
        let mut signer = Signer::new("us-east-1", "service");
        let orders: [&[(&str, &str)]; 2] = [&[("a", "1"), ("x-z", "2")], &[("x-z", "2"), ("a", "1")]];
        let [one, other] = orders.map(|headers| signed(&mut signer, "h", ("GET", &path, headers, ""), &keys, 0));
        prop_assert_eq!(one, other);
    }
}
