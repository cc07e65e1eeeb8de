//! tollgate: an LLM gateway.
pub mod access;
pub mod admin;
pub mod app;
pub mod base;
pub mod config;
pub mod coordinator;
pub mod limit;
pub mod llm;
pub mod mail;
pub mod proxy;
pub mod route;
pub mod runtime;
pub mod telemetry;
pub mod wire;
