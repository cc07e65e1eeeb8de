use super::{Fault, Files, Outside, aws, google};
use ring::digest::{SHA256, digest};
use std::fmt;
use std::sync::Arc;

/// Where a credential is fetched from, again and again, because it ends.
///
/// `Display` says it to an operator; neither it nor `Debug` shows a credential.
#[derive(Debug)]
pub struct Origin {
    cloud: Cloud,
    /// Two that are the same fetch the same: what a reload did not change has its credential already.
    pub id: [u8; 32],
}

/// Whose credential it is, and where it is looked for.
#[derive(Debug)]
pub enum Cloud {
    /// Keys that sign requests to AWS.
    Aws(aws::Chain),
    /// An access token of Google's.
    Google(google::Chain),
}

/// A credential that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// What signs requests to AWS.
    Aws(Arc<aws::Credentials>),
    /// What goes to Google.
    Google(Arc<google::Token>),
}

impl Origin {
    /// What `seed` tells apart from others: a key, or what the environment says.
    pub fn new(cloud: Cloud, seed: &[u8]) -> Origin {
        let mut id = [0; 32];
        id.iter_mut().zip(digest(&SHA256, seed).as_ref()).for_each(|(to, from)| *to = *from);
        Origin { cloud, id }
    }

    /// Fetches the credential as it is now.
    ///
    /// # Errors
    /// What its source says against it, or that there is none.
    pub fn fetch(&self, outside: &Outside<'_>) -> Result<Fetched, Fault> {
        match &self.cloud {
            Cloud::Aws(chain) => chain.fetch(outside).map(Fetched::Aws),
            Cloud::Google(chain) => chain.fetch(outside).map(|token| Fetched::Google(Arc::new(token))),
        }
    }

    /// Reads what files say, and sends nothing.
    ///
    /// # Errors
    /// Files that ask for what is not done, or that can never lead to a credential.
    pub fn check(&self, files: Files<'_>) -> Result<(), Fault> {
        match &self.cloud {
            Cloud::Aws(chain) => chain.check(files),
            Cloud::Google(chain) => chain.check(files),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cloud {
            Cloud::Aws(chain) => write!(f, "credentials of AWS: {chain}"),
            Cloud::Google(chain) => write!(f, "access token of Google: {chain}"),
        }
    }
}

impl Fetched {
    /// When it ends, in seconds since 1970; `None` for what does not.
    pub fn expires(&self) -> Option<u64> {
        match self {
            Fetched::Aws(credentials) => credentials.expires,
            Fetched::Google(token) => Some(token.expires),
        }
    }
}
