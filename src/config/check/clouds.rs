//! Credentials of clouds: those that are written down, and the places where others are fetched.

use super::World;
use super::environment::Secrets;
use crate::config::diagnostic::Place;
use crate::config::resources::Meta;
use crate::config::resources::backend::Aws;
use crate::config::snapshot::{Credential, Signs, Snapshot};
use crate::llm::auth::aws::{self, Credentials};
use crate::llm::auth::google::{self, Key};
use crate::llm::auth::{Cloud, Fault, Origin};
use std::cell::OnceCell;
use std::sync::Arc;

/// What the environment says of credentials, looked up once: there is one environment, and all Backends that use it share
/// what is fetched. `None` after a fault.
#[derive(Default)]
pub(super) struct Clouds {
    aws: OnceCell<Option<Found>>,
    google: OnceCell<Option<Arc<Origin>>>,
}

/// What the environment leads to.
enum Found {
    Keys(Arc<Credentials>),
    Origin(Arc<Origin>),
}

impl Clouds {
    /// What signs requests to AWS: the keys of a Secret, or else what the environment leads to.
    pub(super) fn aws(
        &self,
        world: &World<'_>,
        secrets: &Secrets,
        meta: &Meta,
        at: Place,
        aws: &Aws,
    ) -> Option<Credential> {
        let region = aws.region.as_str().into();
        let Some(name) = &aws.secret else {
            // Where the environment names no region, roles are assumed in that of the first Backend.
            let found = self.aws.get_or_init(|| {
                let chain = told(world, at, aws::Chain::from_env(world.env, &aws.region))?;
                if let Some(keys) = chain.keys() {
                    return Some(Found::Keys(keys.clone()));
                }
                // What `Debug` hides of it is the environment's too, which stays as it is.
                let seed = format!("{chain:?}");
                Some(Found::Origin(Arc::new(Origin::new(Cloud::Aws(chain), seed.as_bytes()))))
            });
            let signs = match found.as_ref()? {
                Found::Keys(keys) => Signs::With(keys.clone()),
                Found::Origin(origin) => Signs::Fetched(origin.clone()),
            };
            return Some(Credential::Aws { region, signs });
        };
        let wanted = (meta.namespace.as_str(), name.value.as_str());
        world.find(&world.all.secrets, "Secret", wanted, name.at)?;
        let value = |key: &str| secrets.value(&meta.namespace, &name.value, key);
        if ["accessKey", "secretKey", "sessionToken"].iter().any(|key| value(key) == Some(None)) {
            return None; // its fault is reported already
        }
        let keys = told(world, name.at, Credentials::from_secret(|key| value(key).flatten()))?;
        Some(Credential::Aws { region, signs: Signs::With(Arc::new(keys)) })
    }

    /// What gets access tokens where nobody wrote a key down.
    pub(super) fn google(&self, world: &World<'_>, at: Place) -> Option<Credential> {
        let origin = self.google.get_or_init(|| {
            let chain = told(world, at, google::Chain::from_env(world.env))?;
            let seed = format!("{chain:?}");
            Some(Arc::new(Origin::new(Cloud::Google(chain), seed.as_bytes())))
        });
        origin.clone().map(Credential::Google)
    }
}

/// What gets access tokens: a key file of Google's.
pub(super) fn google_key(world: &World<'_>, json: &[u8], at: Place) -> Option<Credential> {
    let key = told(world, at, Key::read(json))?;
    let cloud = Cloud::Google(google::Chain::of_key(key));
    Some(Credential::Google(Arc::new(Origin::new(cloud, json))))
}

fn told<T>(world: &World<'_>, at: Place, found: Result<T, Fault>) -> Option<T> {
    found.map_err(|fault| world.faults.fault_with_help(at, fault.what, fault.help)).ok()
}

/// Where credentials are fetched, a line for each place that is not written down in the configuration itself.
pub(super) fn lines(snapshot: &Snapshot) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for origin in snapshot.backends.iter().filter_map(|backend| backend.origin()) {
        let line = origin.to_string();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
