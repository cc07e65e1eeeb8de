//! Layer 3: which rule serves a request, and what it changes on the way. Pure; knows nothing of payloads.
//!
//! Read in this order:
//!
//! * [`mod@matches`] says when a request matches: path, method, headers, query, as an HTTPRoute writes them.
//!   `query` reads the parameters, `host` compares hostnames and intersects a listener's with a route's.
//! * `rank` is the Gateway API's precedence as `Ord`: of the matches that accept, the smallest rank wins.
//! * [`table`] finds that match among many without trying them all; `paths` is its index within a hostname,
//!   `entries` within a path.
//! * [`filters`] holds what a rule does to heads: header edits, rewrites, redirects, answers of its own; [`cors`] what
//!   pages of other origins are allowed.
//! * [`priority`] says who is served when not everybody can be.
//! * [`why`] says of each match what a request lacks for it, for who asks.
//! * [`weighted`] chooses one of several backends in proportion to their weights, [`failover`] one of a backend's
//!   endpoints by their health.

pub mod cors;
mod entries;
pub mod failover;
pub mod filters;
mod host;
pub mod matches;
mod paths;
pub mod priority;
mod query;
mod rank;
pub mod table;
pub mod weighted;
pub mod why;

#[cfg(test)]
mod tests;

pub use cors::{AllowedOrigin, Cors, Names, Preflight};
pub use filters::{
    DirectResponse, Filters, HeaderEdits, Mirror, Origin, PathRewrite, Redirect, Rewrite, rewritten_target,
};
pub use host::{intersect, narrowest};
pub use matches::{HeaderLookup, PathMatch, Request, RouteMatch, ValueMatch, full_regex};
pub use priority::{Pressure, Priority};
pub use table::{Candidate, Table};
pub use weighted::Weighted;
