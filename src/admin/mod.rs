//! Layer 6: the endpoint that shows how it goes, on threads and a socket of its own.
//!
//! * [`start`] binds and serves; [`AdminServer`] stops. `connection` keeps one client within its bounds.
//! * `pages` answers: `/healthz`, `/readyz`, `/metrics`, `/state`, and `/` which lists them.
//!
//! It reads the board and changes nothing, so the worst that a client can do is to keep it busy: at most
//! [`CONNECTIONS_MAX`] clients are served at a time, each for a few seconds, and workers never notice.
//!
//! There is no authentication and `Host` is not compared with anything: the default address is on loopback.
//! A web page in a browser on the same host could therefore read these pages by rebinding its own name to
//! 127.0.0.1. They hold names, addresses and numbers, never a credential, and no request changes anything.
//! Whoever binds the endpoint to an address that others reach has to guard that address.

mod connection;
mod metrics;
mod pages;
mod server;
mod state;

pub use server::{AdminServer, CONNECTIONS_MAX, start};
