//! Everything that can keep a request from its answer, who is to blame, and what the client is told.

use crate::access::Refusal;
use crate::limit::{Allowance, KeyPart, Refused};
use crate::llm::endpoint::Mismatch;
use crate::llm::guard::Rejection;
use crate::llm::refusal::RefusalKind;
use crate::llm::{Api, Format};
use crate::telemetry::Outcome;
use crate::wire::coding::SUPPORTED;
use crate::wire::http1::{BodyFault, HeadFault};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Why an exchange did not end with the provider's answer.
#[derive(Debug)]
pub(super) enum Fault {
    // --- the client's part ---
    /// The head of the request is malformed, ambiguous or too large.
    Head(HeadFault),
    /// The framing of the body is malformed, or the body too large.
    Body(BodyFault),
    /// The head or the body did not come in time.
    Slow(&'static str),
    /// The client went away; nobody is there to be told.
    ClientGone,
    /// The path has dot segments or bytes that hide its meaning.
    Path(&'static str),
    /// No route matches.
    NoRoute,
    /// The host belongs to another HTTPS listener than the connection does.
    Misdirected,
    /// The connection was opened when other certificates were demanded of clients, or none.
    Uncertified,
    /// The caller is not let in.
    Denied(Refusal),
    /// The endpoint takes another method, or is known and not served.
    Endpoint(Mismatch),
    /// The provider of that name is not spoken to for clients of this format.
    Unpaired(Format, &'static str),
    /// The body has a content coding that nobody here can undo.
    UnknownCoding,
    /// The body is no request of the client's format.
    BadRequest { param: String, message: String },
    /// A guard rejects it, or its answer.
    Rejected(Arc<Rejection>),
    /// It has more texts than a guard's service may be asked about.
    Unaskable,
    /// A guard's service said nothing, for this reason, and what is not judged does not pass.
    Unjudged(&'static str),
    /// The time of the whole exchange was over before a guard's service said anything.
    JudgedLate,
    /// The model of that name has no price at the vendor, and such models are refused.
    Unpriced { model: String, vendor: &'static str },
    /// A limit does not admit it.
    Refused(Box<Refused>),
    /// The limit of that name wants a key that the request lacks.
    MissingKey(Arc<str>, KeyPart),
    /// An operator has blocked the request's account with the limit of that name.
    Blocked(Arc<str>),
    /// The worker has as many requests under way as it may, or more to do than it can.
    Busy,
    /// The worker holds as many bytes of bodies and answers as it may.
    Crowded,
    /// A budget has room, but it could not be written down that it is spent.
    Ungranted,
    // --- the provider's part ---
    /// The rule has no backend that may be used.
    NoBackend,
    /// The name of the provider does not resolve.
    Unresolved,
    /// The credential of the backend has not come, or has ended and no other has come.
    NoCredential,
    /// No connection to the provider could be made.
    Connect(&'static str),
    /// The connection to the provider broke before an answer began.
    Broken,
    /// The provider did not answer in time.
    ProviderSlow,
    /// The provider's answer is malformed.
    ProviderMalformed(&'static str),
    /// The answer broke off after its beginning was sent on: the client's connection can only be closed.
    Cut,
    /// Time is up after the beginning of the answer was sent on.
    CutSlow,
}

impl Fault {
    /// The status to answer with; `None` when nothing can be answered any more.
    pub(super) fn status(&self) -> Option<u16> {
        Some(match self {
            Fault::Head(fault) => fault.status(),
            Fault::Body(fault) => fault.status(),
            Fault::Slow(_) => 408,
            Fault::ClientGone | Fault::Cut | Fault::CutSlow => return None,
            Fault::Path(_) | Fault::BadRequest { .. } => 400,
            Fault::NoRoute => 404,
            Fault::Misdirected | Fault::Uncertified => 421,
            Fault::Denied(refusal) => refusal.status(),
            Fault::Endpoint(Mismatch::Method { .. }) => 405,
            Fault::Endpoint(Mismatch::NoSse) => 400,
            Fault::Endpoint(Mismatch::Unserved(_)) | Fault::Unpaired(..) => 501,
            Fault::UnknownCoding => 415,
            Fault::Rejected(rejection) => rejection.status,
            Fault::Unaskable => 413,
            // As agentgateway answers when a webhook fails.
            Fault::Unjudged(_) => 503,
            Fault::Refused(_) => 429,
            Fault::MissingKey(_, part) if part.is_credential() => 401,
            Fault::MissingKey(..) => 400,
            // It is well-formed, and the model may exist: this gateway will not ask for it.
            Fault::Blocked(_) | Fault::Unpriced { .. } => 403,
            Fault::NoBackend => 500,
            Fault::ProviderMalformed(_) | Fault::Broken => 502,
            Fault::Unresolved | Fault::NoCredential | Fault::Connect(_) => 503,
            Fault::Ungranted | Fault::Busy | Fault::Crowded => 503,
            Fault::ProviderSlow | Fault::JudgedLate => 504,
        })
    }

    /// Whether nothing more can be had on this connection, whatever is asked.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self, Fault::Uncertified)
    }

    /// The kind of error, in the words of the client's format.
    pub(super) fn kind(&self) -> RefusalKind {
        match self {
            Fault::NoBackend => RefusalKind::Internal,
            Fault::Broken | Fault::ProviderMalformed(_) => RefusalKind::Upstream,
            // Its status is the operator's choice, and may be one of success.
            Fault::Rejected(_) => RefusalKind::Permission,
            other => other.status().map_or(RefusalKind::Internal, RefusalKind::of_status),
        }
    }

    /// For the person who wrote the client.
    pub(super) fn message(&self) -> Cow<'_, str> {
        match self {
            Fault::Head(fault) => fault.reason().into(),
            Fault::Body(fault) => fault.reason().into(),
            Fault::Slow(what) => format!("the {what} of the request did not arrive in time").into(),
            Fault::Path(why) => (*why).into(),
            Fault::BadRequest { message, .. } => message.as_str().into(),
            Fault::NoRoute => "no route matches this host, path and method".into(),
            Fault::Misdirected => {
                "this host is served under another TLS name; open a connection of its own for it".into()
            }
            Fault::Uncertified => {
                "the certificate that clients have to show has changed; open another connection".into()
            }
            Fault::Denied(refusal) => refusal.message(),
            Fault::Endpoint(Mismatch::Method { allow, .. }) => {
                format!("this endpoint takes {} requests only", allow.name()).into()
            }
            Fault::Endpoint(Mismatch::NoSse) => {
                "streamGenerateContent is served as a stream of events only: add alt=sse to the query".into()
            }
            Fault::Endpoint(Mismatch::Unserved(api)) => {
                let api = match api {
                    Api::OpenAi => "OpenAI",
                    Api::Anthropic => "Anthropic",
                    Api::Gemini => "Gemini",
                    Api::Bedrock => "Amazon Bedrock",
                };
                format!("this gateway does not serve this endpoint of {api}'s API").into()
            }
            Fault::Unpaired(client, provider) => {
                let client = client.name();
                format!("this gateway does not serve {client} with the provider {provider}").into()
            }
            Fault::Unpriced { model, .. } if model.is_empty() => {
                "the request names no model, and models without a price are refused here".into()
            }
            Fault::Unpriced { model, vendor } => format!(
                "the model {model:?} has no price at {vendor}, and models without a price are refused here; ask for another \
                 or have the operator price it"
            )
            .into(),
            Fault::UnknownCoding => format!(
                "the content-encoding of the body is not supported; {SUPPORTED} are, and lists of them"
            )
            .into(),
            Fault::Rejected(rejection) => rejection.message.as_str().into(),
            Fault::Unaskable => "there is more text than the guard here can be asked about".into(),
            Fault::Unjudged(why) => format!("a guard has to judge this, and cannot: {why}").into(),
            Fault::JudgedLate => "a guard has to judge this, and did not in time".into(),
            Fault::Refused(refused) => refusal(refused).into(),
            Fault::MissingKey(limit, part) => {
                format!("limit {limit} wants {}, which the request lacks", Lacking(part)).into()
            }
            Fault::Blocked(limit) => format!("an operator has blocked this caller (limit {limit})").into(),
            Fault::Busy => "this host has as much to do as it takes; retry soon".into(),
            Fault::Crowded => "this host holds as many bytes of requests and answers as it may; retry soon".into(),
            Fault::Ungranted => "the budget of this caller could not be written down in time".into(),
            Fault::NoBackend => "the route has no valid backend".into(),
            Fault::Unresolved => "the provider's name does not resolve".into(),
            Fault::NoCredential => "this gateway has no credential for the provider at the moment".into(),
            Fault::Connect(why) => format!("the provider cannot be reached: {why}").into(),
            Fault::Broken => "the provider closed the connection without an answer".into(),
            Fault::ProviderSlow => "the provider did not answer in time".into(),
            Fault::ProviderMalformed(why) => format!("the provider's answer is malformed: {why}").into(),
            Fault::ClientGone | Fault::Cut | Fault::CutSlow => "".into(),
        }
    }

    /// The guilty member of the request, if one is.
    pub(super) fn param(&self) -> Option<&str> {
        match self {
            Fault::BadRequest { param, .. } => {
                Some(param).filter(|param| !param.is_empty()).map(String::as_str)
            }
            Fault::Unpriced { .. } | Fault::Denied(Refusal::Model(_)) => Some("model"),
            _ => None,
        }
    }

    /// A word for programs, where the kind's own says too little.
    pub(super) fn code(&self) -> Option<&'static str> {
        match self {
            Fault::Unpriced { .. } => Some("model_not_priced"),
            Fault::Rejected(_) => Some("content_filter"),
            Fault::Denied(refusal) => refusal.code(),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate`, which every 401 has (RFC 9110 section 11.6.1).
    pub(super) fn challenge(&self) -> Option<Cow<'_, str>> {
        match self {
            Fault::Denied(refusal) => refusal.challenge(),
            Fault::MissingKey(_, KeyPart::User) => Some("Basic realm=\"Restricted\"".into()),
            Fault::MissingKey(..) => Some("Bearer".into()).filter(|_| self.status() == Some(401)),
            _ => None,
        }
    }

    /// How the record calls it.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Fault::Head(_) | Fault::Body(_) | Fault::Path(_) => Outcome::BadRequest,
            Fault::UnknownCoding | Fault::BadRequest { .. } => Outcome::BadRequest,
            Fault::Endpoint(_) | Fault::Unpaired(..) => Outcome::BadRequest,
            Fault::Slow(_) | Fault::ProviderSlow | Fault::CutSlow | Fault::JudgedLate => Outcome::Timeout,
            Fault::ClientGone => Outcome::ClientGone,
            Fault::Rejected(_) | Fault::Unaskable | Fault::Unjudged(_) => Outcome::Rejected,
            Fault::NoRoute | Fault::Misdirected | Fault::Uncertified => Outcome::NoRoute,
            Fault::Denied(_) => Outcome::Denied,
            Fault::Unpriced { .. } | Fault::Refused(_) | Fault::MissingKey(..) => Outcome::Refused,
            Fault::Blocked(_) | Fault::Busy | Fault::Crowded => Outcome::Refused,
            Fault::NoBackend | Fault::Ungranted => Outcome::Fault,
            Fault::Unresolved | Fault::NoCredential | Fault::Connect(_) => Outcome::UpstreamFailed,
            Fault::Broken | Fault::ProviderMalformed(_) => Outcome::UpstreamFailed,
            Fault::Cut => Outcome::UpstreamCut,
        }
    }

    /// Whether the client's connection can serve another request after this fault was answered.
    pub(super) fn keeps_connection(&self) -> bool {
        !matches!(
            self,
            Fault::Head(_)
                | Fault::Body(_)
                | Fault::Slow(_)
                | Fault::ClientGone
                | Fault::Cut
                | Fault::CutSlow
        )
    }
}

/// Names the limit and its unit and says when to come back: "what is in force is in the 429".
fn refusal(refused: &Refused) -> String {
    let terms = refused.account.terms();
    let allowance = Allowance::new(terms.unit, &terms.measure);
    let when = match refused.wait {
        Some(wait) => format!("retry after {:.3} s", wait.as_secs_f64()),
        None => "retry when another has ended".to_owned(),
    };
    format!("rate limit exceeded: limit {} allows {allowance}; {when}", terms.rule)
}

/// A part of a key, as the sentence "limit X wants ..." has it.
struct Lacking<'a>(&'a KeyPart);

impl fmt::Display for Lacking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            KeyPart::ApiKey => f.write_str("a key in Authorization, x-api-key or x-goog-api-key"),
            KeyPart::Header(name) => write!(f, "the header {name}"),
            KeyPart::Model => f.write_str("the name of a model"),
            KeyPart::Claim(name) => write!(f, "the claim {name} in its bearer token"),
            KeyPart::Metadata(name) => write!(f, "an API key with {name} in its metadata"),
            KeyPart::User => f.write_str("the name and the password of a user"),
            KeyPart::Source => f.write_str("an address"),
            KeyPart::Route => f.write_str("a route"),
        }
    }
}
