//! The proxies under measurement, each with the configuration written for it.

use super::Options;
use crate::cli::kit::process::{Process, is_program};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A running proxy.
pub(super) struct Rig {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) pid: u32,
    process: Process,
}

impl Rig {
    /// Ends it.
    pub(super) fn stop(self) {
        drop(self.process);
    }
}

/// Starts every proxy that there is; the notes say which there is not.
pub(super) fn start_all(options: &Options, upstream: u16) -> Result<(Vec<Rig>, Vec<String>), String> {
    let mut rigs = Vec::new();
    let mut notes = Vec::new();
    match &options.tollgate {
        Some(binary) => {
            rigs.push(tollgate("tollgate", options, binary, upstream, "")?);
            if options.limits {
                rigs.push(tollgate(LIMITED, options, binary, upstream, LIMITS)?);
            }
        }
        None => notes.push("tollgate was not measured: no --tollgate PATH".to_string()),
    }
    if is_program(&options.nginx) {
        rigs.push(nginx(options, upstream)?);
    } else {
        notes.push(format!("nginx was not measured: {} is not on this machine", options.nginx));
    }
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    Ok((rigs, notes))
}

/// The name of tollgate with [`LIMITS`].
pub(super) const LIMITED: &str = "limits";

/// Limits in all units, on key, route and model, that never refuse.
const LIMITS: &str = "---
apiVersion: tollgate.dev/v1alpha1
kind: LimitPolicy
metadata: {name: hop, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: hop}]
  limits:
  - {name: requests, unit: requests, rate: 1000000000/minute, key: {apiKey: {}}}
  - {name: tokens, unit: tokens, rate: 1000000000000/minute, key: {apiKey: {}, model: {}}}
  - {name: month, unit: cost, budget: 10000000 USD, window: month, key: {apiKey: {}}}
  - {name: at-once, unit: concurrency, max: 100000, key: {route: {}}}
";

fn tollgate(
    name: &'static str,
    options: &Options,
    binary: &Path,
    upstream: u16,
    limits: &str,
) -> Result<Rig, String> {
    let port = free_port()?;
    let dir = fresh_dir(&options.out.join(name))?;
    write(&dir.join("hop.yaml"), &(tollgate_config(port, upstream) + limits))?;
    let arguments = ["run".to_string(), dir.display().to_string()];
    start(name, options, &binary.display().to_string(), &arguments, port)
}

fn nginx(options: &Options, upstream: u16) -> Result<Rig, String> {
    let port = free_port()?;
    let dir = fresh_dir(&options.out.join("nginx"))?;
    let dir = dir.canonicalize().map_err(|why| why.to_string())?;
    let config = dir.join("nginx.conf");
    write(&config, &nginx_config(&dir, options, port, upstream))?;
    let text = |path: &Path| path.display().to_string();
    let arguments = ["-p".to_string(), text(&dir), "-c".to_string(), text(&config)];
    start("nginx", options, &options.nginx, &arguments, port)
}

/// Starts a proxy, and waits until it carries a request to the provider and back.
fn start(
    name: &'static str,
    options: &Options,
    program: &str,
    arguments: &[String],
    port: u16,
) -> Result<Rig, String> {
    let log = options.out.join(format!("{name}.log"));
    let command = [&[program.to_string()], arguments].concat();
    let mut process = Process::pinned(&options.proxy_cpu.to_string(), &command, &log, options.life())?;
    let patience = Instant::now() + Duration::from_secs(15);
    loop {
        let answer = probe(port).unwrap_or_default();
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(Rig { name, port, pid: process.pid(), process });
        }
        if process.has_ended() || Instant::now() > patience {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!(
                "{name} does not serve on port {port}: it answered {answer:?} and said\n{said}"
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One chat request; the status line of its answer.
fn probe(port: u16) -> std::io::Result<String> {
    let body = super::wrk::chat_body(64);
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(
        socket,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         authorization: Bearer sk-client\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    // Whatever came before an error is still the answer.
    let _ = socket.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_string())
}

/// One worker, connections kept on both sides without limit, the provider's key put in as tollgate does.
fn nginx_config(dir: &Path, options: &Options, port: u16, upstream: u16) -> String {
    let dir = dir.display();
    let mask = format!("1{}", "0".repeat(options.proxy_cpu as usize));
    format!(
        "daemon off;
worker_processes 1;
worker_cpu_affinity {mask};
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path {dir}/client;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive 128;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Authorization \"Bearer sk-sim\";
    }}
  }}
}}
"
    )
}

fn tollgate_config(port: u16, upstream: u16) -> String {
    format!(
        "apiVersion: tollgate.dev/v1alpha1
kind: Settings
metadata: {{name: hop}}
spec:
  workers: {{cores: 1}}
  admin: {{address: none}}
  hostOverrides:
  - {{host: 127.0.0.1, to: \"http://127.0.0.1:{upstream}\"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: hop, namespace: default}}
spec:
  gatewayClassName: agentgateway
  listeners:
  - {{name: http, protocol: HTTP, port: {port}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: hop, namespace: default}}
spec:
  parentRefs:
  - {{name: hop}}
  rules:
  - matches:
    - path: {{type: PathPrefix, value: /v1/chat/completions}}
    backendRefs:
    - {{group: gateway.kgateway.dev, kind: Backend, name: provider}}
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {{name: provider, namespace: default}}
spec:
  type: AI
  ai:
    llm:
      openai:
        authToken: {{kind: Inline, inline: sk-sim}}
        model: gpt-4o-mini
      host: 127.0.0.1
      port: {upstream}
"
    )
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|why| why.to_string())?;
    listener.local_addr().map(|addr| addr.port()).map_err(|why| why.to_string())
}

fn fresh_dir(dir: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(dir).map_err(|why| format!("{}: {why}", dir.display()))?;
    Ok(dir.to_path_buf())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
}
