//! Layer 6: the endpoint that shows how it goes and takes what operators change, on threads and a socket of its own.
//!
//! * [`start`] binds and serves; [`AdminServer`] stops. `connection` keeps one client within its bounds.
//! * `pages` says what a request is for and makes the pages that only show: `/healthz`, `/readyz`, `/metrics`,
//!   `/state`, and `/` which lists all there is. `accounts` shows accounts.
//! * `orders` carries out changes: credit given back, keys blocked, overrides. Each is audited by way of the board;
//!   blocks and overrides go to the store as well.
//!
//! Whatever a client does, at most [`CONNECTIONS_MAX`] are served at a time, each for a few seconds, and workers
//! never notice.
//!
//! Accounts are shown and changed only to clients that send the token of `admin.token` in Settings: labels of
//! accounts may be names of people. The other pages are for everybody who can connect, and `Host` is not compared
//! with anything: a web page in a browser on the same host could read them by rebinding its own name to 127.0.0.1.
//! They hold names, addresses and numbers, never a credential. It cannot change anything, for it has no token. The
//! default address is on loopback; whoever binds another has to guard it, because the token travels in the clear.

mod accounts;
mod answer;
mod auth;
mod body;
mod connection;
mod issuers;
mod metrics;
mod orders;
mod pages;
mod server;
mod state;

pub use server::{AdminServer, CONNECTIONS_MAX, serve, start};
