use super::profile::{Base, Plan};
use super::sts::Sts;
use super::{Container, Credentials, Instance, ProfileFiles, WebIdentity};
use crate::llm::auth::{Env, Fault, Files, Outside, variable};
use std::fmt;
use std::sync::Arc;

/// Where credentials are looked for when nobody wrote them down, as the environment has it: its fields, in this order. The
/// first that has credentials is meant. One that only fails to give them is a failure, not a reason to try the next: only
/// files that are not there, or whose profile says nothing of credentials, are passed over.
///
/// `Display` tells the places in their order.
#[derive(Debug)]
pub struct Chain {
    /// They are here, and do not end.
    keys: Option<Arc<Credentials>>,
    /// A token in a file that AWS's token service takes: a service account of Kubernetes (IRSA), for one.
    identity: Option<WebIdentity>,
    /// The files that the AWS CLI writes.
    files: Option<ProfileFiles>,
    /// An endpoint of the container: EKS Pod Identity, or a task of ECS.
    container: Option<Container>,
    /// The metadata service of an EC2 instance. Where there is a container's endpoint, only a profile leads there.
    instance: Option<Instance>,
    /// Where roles are assumed.
    sts: Sts,
}

impl Chain {
    /// The places, as the environment has them. Roles are assumed in the region that it names, or else in `region`.
    ///
    /// # Errors
    /// Variables that contradict one another or cannot be what they are, or no place at all.
    pub fn from_env(env: Env<'_>, region: &str) -> Result<Chain, Fault> {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        let value = |name: &str| variable(env, name).map(Into::into);
        let mut chain = Chain {
            keys: Credentials::read("the environment", names, value)?.map(Arc::new),
            identity: None,
            files: None,
            container: None,
            instance: None,
            sts: Sts::from_env(env, region)?,
        };
        if chain.keys.is_none() {
            chain.identity = WebIdentity::from_env(env)?;
        }
        if chain.keys.is_none() && chain.identity.is_none() {
            chain.files = ProfileFiles::from_env(env);
            chain.container = Container::from_env(env)?;
            chain.instance = Instance::from_env(env)?;
            if chain.files.is_none() && chain.container.is_none() && chain.instance.is_none() {
                return Err(nowhere());
            }
        }
        Ok(chain)
    }

    /// The keys that stand in the environment itself, which need not be fetched.
    pub fn keys(&self) -> Option<&Arc<Credentials>> {
        self.keys.as_ref()
    }

    pub(in crate::llm::auth) fn fetch(&self, outside: &Outside<'_>) -> Result<Arc<Credentials>, Fault> {
        if let Some(keys) = &self.keys {
            return Ok(keys.clone());
        }
        if let Some(identity) = &self.identity {
            return identity.assume(&self.sts, outside);
        }
        if let Some(plan) = self.plan(outside.files)? {
            return self.carry_out(plan, outside);
        }
        match (&self.container, &self.instance) {
            (Some(container), _) => container.ask(outside),
            (None, Some(instance)) => instance.ask(outside),
            (None, None) => Err(nowhere()),
        }
    }

    pub(in crate::llm::auth) fn check(&self, files: Files<'_>) -> Result<(), Fault> {
        let Some(plan) = self.plan(files)? else { return Ok(()) };
        match plan.base {
            Base::Environment => Err(lacks_keys()),
            Base::Container => self.container().map(|_| ()),
            Base::Instance => self.instance().map(|_| ()),
            Base::Keys(_) | Base::WebIdentity(_) => Ok(()),
        }
    }

    fn plan(&self, files: Files<'_>) -> Result<Option<Plan>, Fault> {
        self.files.as_ref().map_or(Ok(None), |profile| profile.plan(files))
    }

    fn carry_out(&self, plan: Plan, outside: &Outside<'_>) -> Result<Arc<Credentials>, Fault> {
        let begin = match plan.base {
            Base::Keys(keys) => keys,
            Base::WebIdentity(identity) => identity.assume(&self.sts, outside)?,
            Base::Environment => return Err(lacks_keys()),
            Base::Container => self.container()?.ask(outside)?,
            Base::Instance => self.instance()?.ask(outside)?,
        };
        plan.roles.iter().try_fold(begin, |credentials, role| role.assume(&self.sts, &credentials, outside))
    }

    fn container(&self) -> Result<&Container, Fault> {
        let why = "AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI are not set";
        self.container.as_ref().ok_or_else(|| lacks("EcsContainer", why))
    }

    fn instance(&self) -> Result<&Instance, Fault> {
        let why = "AWS_EC2_METADATA_DISABLED is true";
        self.instance.as_ref().ok_or_else(|| lacks("Ec2InstanceMetadata", why))
    }
}

fn nowhere() -> Fault {
    let help = "write the keys into a Secret, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or HOME to where \
                .aws/credentials is, or do not set AWS_EC2_METADATA_DISABLED";
    Fault::new("there is no place to look for credentials of AWS", help)
}

/// With keys in the environment, no profile is looked at.
fn lacks_keys() -> Fault {
    lacks("Environment", "AWS_ACCESS_KEY_ID is not set")
}

/// That a profile wants the environment to have what it does not.
fn lacks(source: &str, why: &str) -> Fault {
    Fault::new(format!("the AWS profile has credential_source {source:?}, and {why}"), "correct either")
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = Vec::new();
        if self.keys.is_some() {
            places.push("keys of the environment".to_owned());
        }
        if let Some(identity) = &self.identity {
            places.push(format!("the role {} with the token in {:?}", identity.role, identity.token_file));
        }
        if let Some(files) = &self.files {
            let ProfileFiles { credentials, config, profile, .. } = files;
            places.push(format!("the profile {profile:?} of {credentials:?} and {config:?}"));
        }
        match (&self.container, &self.instance) {
            (Some(container), _) => {
                places.push(format!("the container's endpoint at {}", container.url.host))
            }
            (None, Some(instance)) => {
                places.push(format!("the EC2 metadata service at {}", instance.url.host))
            }
            (None, None) => {}
        }
        f.write_str(&places.join(", else "))
    }
}

#[cfg(test)]
mod tests;
