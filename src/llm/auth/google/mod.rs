//! Google Cloud: access tokens for Vertex AI.
//!
//! * [`Key`] is what stands in a key file: a service account, or a user's own grant.
//! * [`Chain`] says where to look when nobody wrote one down, in the order of Google's libraries (Google Cloud, "How
//!   Application Default Credentials works"): a file that the environment names, the file of `gcloud`, the metadata
//!   server of the instance or of GKE. Workload identity federation and impersonation are not looked up.
//! * [`Token`] is what all of them lead to.

mod chain;
mod grant;
mod key;
mod token;

pub use chain::Chain;
pub use grant::ServiceAccount;
pub use key::{AuthorizedUser, Key};
pub use token::Token;
