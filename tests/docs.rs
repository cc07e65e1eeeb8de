//! What the project shows is what happens: README, examples, walkthrough, what is deployed.

#[path = "docs/deploy.rs"]
mod deploy;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/readme.rs"]
mod readme;
#[path = "support/service.rs"]
mod service;
mod support;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "docs/walkthrough.rs"]
mod walkthrough;

use tollgate::base::base64; // that of tokens
