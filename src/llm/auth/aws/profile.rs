//! The files that the AWS CLI writes (AWS SDKs and Tools Reference Guide, "Using shared config and credentials files" and
//! "Assume role credential provider").
//!
//! Lines are sections, settings, comments, or go on with the setting before, which none of ours does. Of all profiles
//! those are read that are meant, but a line that is none of these is a fault wherever it stands. No fault repeats a line:
//! it may hold a key.

mod file;

use super::role::{self, Role};
use super::{Credentials, WebIdentity};
use crate::llm::auth::outside::read;
use crate::llm::auth::{Env, Fault, Files, variable};
use file::{Setting, section};
use std::sync::Arc;

/// Where a profile stands: two files, either of which may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFiles {
    /// The path of the `credentials` file, whose settings go before the other's.
    pub credentials: String,
    /// The path of the `config` file.
    pub config: String,
    /// The name of the profile.
    pub profile: String,
    /// The environment names the profile, so it must be there.
    pub is_named: bool,
}

/// What a profile leads to: what to begin with, and the roles to assume from there on, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) base: Base,
    pub(super) roles: Vec<Role>,
}

/// What a plan begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Base {
    Keys(Arc<Credentials>),
    WebIdentity(WebIdentity),
    /// The keys of the environment (`credential_source = Environment`).
    Environment,
    /// What the container is given (`EcsContainer`).
    Container,
    /// What the instance is given (`Ec2InstanceMetadata`).
    Instance,
}

/// The most profiles that lead to one another.
const PROFILES_MAX: usize = 8;

impl ProfileFiles {
    /// As the environment has it; `None` when it says nothing of files and there is no home directory to look in.
    pub(super) fn from_env(env: Env<'_>) -> Option<ProfileFiles> {
        let home = variable(env, "HOME");
        let path = |name: &str, file: &str| match (variable(env, name), home.as_deref()) {
            (Some(path), Some(home)) if path.starts_with("~/") => Some(path.replacen('~', home, 1)),
            (Some(path), _) => Some(path),
            (None, home) => Some(format!("{}/.aws/{file}", home?)),
        };
        let credentials = path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let config = path("AWS_CONFIG_FILE", "config");
        if credentials.is_none() && config.is_none() {
            return None;
        }
        let profile = variable(env, "AWS_PROFILE");
        Some(ProfileFiles {
            credentials: credentials.unwrap_or_default(),
            config: config.unwrap_or_default(),
            is_named: profile.is_some(),
            profile: profile.unwrap_or_else(|| "default".to_owned()),
        })
    }

    /// What the profile leads to, as its files are now; `None` when they say nothing of credentials and nobody asked for this
    /// profile.
    ///
    /// # Errors
    /// What is malformed, with its file and line; a profile that is meant and not there; one that wants what is not looked
    /// up: Identity Center, a console's login, a process, a code that somebody types.
    pub(super) fn plan(&self, files: Files<'_>) -> Result<Option<Plan>, Fault> {
        let text = |path: &str| if path.is_empty() { Ok(None) } else { read(files, path) };
        self.read(text(&self.credentials)?.as_deref(), text(&self.config)?.as_deref())
    }

    /// The same, out of the texts of the two files, of which `None` does not exist.
    fn read(&self, credentials: Option<&str>, config: Option<&str>) -> Result<Option<Plan>, Fault> {
        let (mut roles, mut seen) = (Vec::new(), vec![self.profile.clone()]);
        loop {
            let name = seen.last().unwrap_or(&self.profile);
            let profile = self.profile(name, credentials, config)?;
            match profile.step(!roles.is_empty())? {
                Step::Nothing if roles.is_empty() && !self.is_named => return Ok(None),
                Step::Nothing => {
                    let help = match roles.is_empty() {
                        true => "correct AWS_PROFILE, or write the profile with aws configure",
                        false => "give it keys, for it is the source_profile of another",
                    };
                    return Err(Fault::new(format!("{} has no credentials", profile.place), help));
                }
                Step::Begin(base, role) => {
                    roles.extend(role);
                    roles.reverse();
                    return Ok(Some(Plan { base, roles }));
                }
                Step::Assume(_, source) if seen.contains(&source) || seen.len() == PROFILES_MAX => {
                    let what = format!("the profiles {} come to no end by source_profile", seen.join(", "));
                    return Err(Fault::new(what, "have the last of them give keys, or a credential_source"));
                }
                Step::Assume(role, source) => {
                    roles.push(role);
                    seen.push(source);
                }
            }
        }
    }

    fn profile<'t>(
        &self,
        name: &str,
        credentials: Option<&'t str>,
        config: Option<&'t str>,
    ) -> Result<Profile<'t>, Fault> {
        let headings: [&[&str]; 2] = [&["profile", name], &[name]];
        let in_config = if name == "default" { &headings[..] } else { &headings[..1] };
        // The last one of a name counts: those of the credentials file stand behind the others.
        let mut settings = section(config, &self.config, in_config)?;
        settings.extend(section(credentials, &self.credentials, &headings[1..])?);
        let place = format!("the profile {name:?} of {:?} and {:?}", self.credentials, self.config);
        Ok(Profile { name: name.to_owned(), place, settings })
    }
}

/// The settings of one profile.
struct Profile<'t> {
    name: String,
    /// What faults call it.
    place: String,
    settings: Vec<Setting<'t>>,
}

/// Where a profile leads.
enum Step {
    Nothing,
    /// To credentials, and perhaps a role to assume with them.
    Begin(Base, Option<Role>),
    /// To a role, and the profile whose credentials assume it.
    Assume(Role, String),
}

const KEYS: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// Where else the CLI would get credentials.
const NOT_LOOKED_UP: [&str; 4] = ["sso_session", "sso_start_url", "login_session", "credential_process"];

/// What a role can be assumed with: one of them.
const SOURCES: [&str; 3] = ["web_identity_token_file", "source_profile", "credential_source"];

impl Profile<'_> {
    fn setting(&self, key: &str) -> Option<String> {
        let found = self.settings.iter().rfind(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
    }

    /// Keys of a profile that is the source of another go before its role, as the CLI has it.
    fn step(&self, is_source: bool) -> Result<Step, Fault> {
        let role = self.setting("role_arn");
        if let (Some(role), false) = (&role, is_source) {
            return self.role(role);
        }
        match (self.keys()?, role) {
            (Some(keys), _) => Ok(Step::Begin(Base::Keys(keys), None)),
            (None, Some(role)) => self.role(&role),
            (None, None) => match NOT_LOOKED_UP.into_iter().find(|key| self.setting(key).is_some()) {
                None => Ok(Step::Nothing),
                Some(key) => {
                    let help = "give it keys, or a role_arn with a web_identity_token_file or a source_profile; or set \
                                AWS_ACCESS_KEY_ID and the others";
                    Err(self.fault(&format!("has {key:?}, which is not looked up"), help))
                }
            },
        }
    }

    fn keys(&self) -> Result<Option<Arc<Credentials>>, Fault> {
        let keys = Credentials::read(&self.place, KEYS, |name| self.setting(name).map(Into::into))?;
        Ok(keys.map(Arc::new))
    }

    fn role(&self, arn: &str) -> Result<Step, Fault> {
        if self.setting("mfa_serial").is_some() {
            let help = "use a role that wants none";
            return Err(self.fault("has \"mfa_serial\", and nobody is here to type a code", help));
        }
        match SOURCES.map(|key| self.setting(key)) {
            [Some(file), None, None] => {
                let name = self.setting("role_session_name");
                let identity = WebIdentity::new(&self.place, arn.to_owned(), file, name)?;
                Ok(Step::Begin(Base::WebIdentity(identity), None))
            }
            [None, Some(source), None] if source == self.name => {
                let keys = self.keys()?.ok_or_else(|| {
                    self.fault("is its own source_profile and has no keys", "give it keys, or name another")
                })?;
                Ok(Step::Begin(Base::Keys(keys), Some(self.assumed(arn)?)))
            }
            [None, Some(source), None] => Ok(Step::Assume(self.assumed(arn)?, source)),
            [None, None, Some(source)] => {
                let base = match source.as_str() {
                    "Environment" => Base::Environment,
                    "EcsContainer" => Base::Container,
                    "Ec2InstanceMetadata" => Base::Instance,
                    _ => {
                        let help = "write Environment, EcsContainer or Ec2InstanceMetadata";
                        return Err(self.fault("has a \"credential_source\" that is none", help));
                    }
                };
                Ok(Step::Begin(base, Some(self.assumed(arn)?)))
            }
            [None, None, None] => Err(self.fault(
                "has \"role_arn\" and nothing to assume it with",
                format!("write one of {}", SOURCES.join(", ")),
            )),
            _ => Err(self.fault(
                "has more than one thing to assume \"role_arn\" with",
                format!("write one of {}", SOURCES.join(", ")),
            )),
        }
    }

    fn assumed(&self, arn: &str) -> Result<Role, Fault> {
        let duration_s = match self.setting("duration_seconds") {
            None => role::DURATION_S,
            Some(text) => text
                .parse()
                .ok()
                .filter(|duration| role::DURATIONS_S.contains(duration))
                .ok_or_else(|| {
                    let help =
                        format!("write {} to {} seconds", role::DURATIONS_S.start(), role::DURATIONS_S.end());
                    self.fault("has a \"duration_seconds\" that cannot be", help)
                })?,
        };
        let external_id = self.setting("external_id");
        if !external_id.as_deref().is_none_or(role::is_external_id) {
            let help = "write 2 to 1,224 letters, digits or characters of _+=,.@:/-";
            return Err(self.fault("has an \"external_id\" that cannot be one", help));
        }
        let session = role::session(&self.place, self.setting("role_session_name"))?;
        Ok(Role { arn: arn.to_owned(), session, external_id, duration_s })
    }

    fn fault(&self, what: &str, help: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
        Fault::new(format!("{} {what}", self.place), help)
    }
}

#[cfg(test)]
mod tests;
