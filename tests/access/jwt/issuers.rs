//! An issuer whose keys are fetched by TLS, and gateways that know it.

use crate::front::{Authority, Front, Manner};
use crate::support::process::directory;
use crate::support::{Rig, apis, gateway, host, read_head_only, settings};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate::config::Overrides;
use tollgate_loadtest::{Script, Simulator};

const ISSUER: &str = "https://issuer.example/";
const AUDIENCE: &str = "tollgate";

/// The route of OpenAI's clients.
pub(crate) const PATH: &str = "/oa/v1/chat/completions";

/// What a token says that ends in so many seconds.
pub(crate) fn claims(life: i64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs() as i64;
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + life})
}

/// An AgentgatewayPolicy on this target, whose only issuer has these keys.
pub(crate) fn jwt(target: &str, mode: &str, jwks: &Value, location: &str) -> String {
    let location = if location.is_empty() { String::new() } else { format!("location: {location}, ") };
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: callers, namespace: llm}}\nspec:\n  \
         targetRefs: [{target}]\n  traffic: {{jwtAuthentication: {{mode: {mode}, {location}providers: [{{issuer: \"{ISSUER}\", \
         audiences: [{AUDIENCE}], jwks: {jwks}}}]}}}}\n"
    )
}

/// The same, strict, on the route of OpenAI's clients.
pub(crate) fn policy(jwks: &Value) -> String {
    jwt("{group: gateway.networking.k8s.io, kind: HTTPRoute, name: oa}", "Strict", jwks, "")
}

/// A gateway in front of a simulated provider.
pub(crate) fn start(manifests: &str) -> Rig {
    start_with(manifests, Vec::new(), Vec::new())
}

fn start_with(manifests: &str, hosts: Vec<(String, String)>, roots: Vec<String>) -> Rig {
    let simulator = Simulator::start(Script::default()).expect("the simulator starts");
    let to = format!("http://{}", simulator.addr());
    let ours = ["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "plain.example"];
    let overrides = Overrides {
        hosts: ours.into_iter().map(|host| (host.to_owned(), to.clone())).chain(hosts).collect(),
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        roots,
        admin: Some("127.0.0.1:0".to_owned()),
    };
    let quiet = settings("  records: {to: none}\n  workers: {cores: 2, pin: false}\n  timeouts: {drain: 2s}");
    let gateway = gateway(&[("manifests.yaml", manifests), ("settings.yaml", &quiet)], overrides);
    let address = gateway.addresses[0];
    Rig { simulator, gateway: Some(gateway), address }
}

/// Where an issuer publishes its keys.
pub(crate) struct Endpoint {
    pub(crate) front: Front,
    authority: Authority,
    asked: Arc<AtomicU32>,
    says: Arc<Mutex<(u16, String)>>,
}

impl Endpoint {
    /// One that answers with this status and body until it is [`set`](Endpoint::set) otherwise.
    pub(crate) fn start(status: u16, body: &str) -> Endpoint {
        let authority = Authority::new();
        let (asked, says) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new((status, body.to_owned()))));
        let (count, answer) = (asked.clone(), says.clone());
        let behind = host(move |mut stream| {
            let head = read_head_only(&mut stream);
            if head.is_empty() {
                return;
            }
            assert!(head.starts_with("GET /realms/a/certs?v=1 HTTP/1.1\r\n"), "{head}");
            count.fetch_add(1, Ordering::SeqCst);
            let (status, body) = answer.lock().expect("an answer").clone();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all((head + &body).as_bytes()).ok();
        });
        let front = Front::start(&authority.identity("localhost", 2020, 2100), behind, Manner::Polite);
        Endpoint { front, authority, asked, says }
    }

    pub(crate) fn set(&self, status: u16, body: &str) {
        *self.says.lock().expect("an answer") = (status, body.to_owned());
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/realms/a/certs?v=1", self.front.address.port())
    }

    /// The file with the certificate of its authority.
    pub(crate) fn roots(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let roots = directory(&format!("issuers-{number}")).join("ca.pem");
        std::fs::write(&roots, self.authority.pem()).expect("a file");
        roots.display().to_string()
    }

    /// A gateway that knows its authority, and `keys.example` as its host.
    pub(crate) fn rig(&self, jwks: &Value, more: &str) -> Rig {
        let to = format!("https://localhost:{}", self.front.address.port());
        let hosts = if more.is_empty() { Vec::new() } else { vec![("keys.example".to_owned(), to)] };
        start_with(&apis(&(policy(jwks) + more)), hosts, vec![self.roots()])
    }
}
