use super::Credentials;
use super::instance::is_role_name;
use super::sts::{self, Sts};
use crate::llm::auth::{Fault, Fetch, Outside};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A role that is assumed with credentials one has (STS API Reference, AssumeRole).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What the session is called in AWS's logs.
    pub session: String,
    /// What the owner of the role wants to be told, when it is somebody else's.
    pub external_id: Option<String>,
    /// How long the credentials are to be good, in seconds: 900 to 43,200, an hour unless given.
    pub duration_s: u32,
}

const HELP: &str =
    "make sure that the role trusts the credentials that assume it, and that they may assume it";

/// STS API Reference, AssumeRole: `DurationSeconds` unless given, and what it may be.
pub(super) const DURATION_S: u32 = 3600;
pub(super) const DURATIONS_S: RangeInclusive<u32> = 900..=43_200;

impl Role {
    pub(super) fn fetch(&self, sts: &Sts, credentials: &Credentials, unix_s: u64) -> Fetch {
        let duration = self.duration_s.to_string();
        let mut fields = vec![
            ("RoleArn", self.arn.as_str()),
            ("RoleSessionName", &self.session),
            ("DurationSeconds", &duration),
        ];
        fields.extend(self.external_id.as_deref().map(|id| ("ExternalId", id)));
        sts.ask_as(credentials, unix_s, "AssumeRole", &fields)
    }

    /// The credentials of the role.
    pub(super) fn assume(
        &self,
        sts: &Sts,
        credentials: &Credentials,
        outside: &Outside<'_>,
    ) -> Result<Arc<Credentials>, Fault> {
        let received =
            outside.ask(&self.fetch(sts, credentials, outside.unix_s), sts::WHO, sts::UNREACHED)?;
        Sts::read(received.answer(), HELP).map(Arc::new)
    }
}

/// STS API Reference, AssumeRole: 2 to 1,224 of `[\w+=,.@:/-]`.
pub(super) fn is_external_id(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    (2..=1224).contains(&text.len()) && text.bytes().all(is_inner)
}

/// The name that `place` has for the session of a role; `tollgate` when it has none.
pub(super) fn session(place: &str, name: Option<String>) -> Result<String, Fault> {
    let name = name.unwrap_or_else(|| "tollgate".to_owned());
    match is_role_name(&name) && name.len() > 1 {
        true => Ok(name),
        false => {
            let help = "write 2 to 64 letters, digits or characters of _+=,.@-";
            let what = format!("the name that {place} has for the session of a role cannot be one");
            Err(Fault::new(what, help))
        }
    }
}
