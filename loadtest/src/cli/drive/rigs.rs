//! Who is driven: the provider itself, tollgate before it, nginx before it.

use crate::cli::kit::gateway::two_free_ports;
use crate::cli::kit::http::{Client, get};
use crate::cli::kit::pages;
use crate::cli::kit::process::{Cpu, Process};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a proxy may take to start.
const START_MAX: Duration = Duration::from_secs(15);
/// Connections that each side of a proxy keeps.
const KEPT: u32 = 4_096;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Direct,
    Tollgate,
    Nginx,
}

/// Where rigs find what they need.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) tollgate: PathBuf,
    pub(super) nginx: String,
    /// The provider's port.
    pub(super) upstream: u16,
    pub(super) proxy_cpu: usize,
    /// Proxies run here; what they leave is removed at the end.
    pub(super) scratch: PathBuf,
    /// Their configurations are kept here.
    pub(super) configs: PathBuf,
    /// Longer than a proxy is needed.
    pub(super) life: Duration,
}

/// Something that answers.
pub(super) struct Rig {
    pub(super) who: Who,
    pub(super) port: u16,
    /// tollgate's admin port.
    pub(super) admin: Option<u16>,
    process: Option<Process>,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Who::Direct => "direct",
            Who::Tollgate => "tollgate",
            Who::Nginx => "nginx",
        }
    }
}

impl Rig {
    /// Starts it, and waits until it can be asked. Nothing has been asked when this returns.
    pub(super) fn start(who: Who, ground: &Ground) -> Result<Rig, String> {
        if who == Who::Direct {
            return Ok(Rig { who, port: ground.upstream, admin: None, process: None });
        }
        let (port, admin) = two_free_ports()?;
        let dir = ground.scratch.join(who.name());
        let (file, text) = match who {
            Who::Nginx => ("nginx.conf", nginx(ground, port)),
            _ => ("tollgate.yaml", tollgate(ground, port, admin)),
        };
        let config = dir.join(file);
        let written = fs::create_dir_all(&dir).and_then(|()| fs::create_dir_all(&ground.configs));
        let written = written.and_then(|()| fs::write(&config, &text));
        let written = written.and_then(|()| fs::write(ground.configs.join(file), &text));
        written.map_err(|why| format!("{}: {why}", config.display()))?;
        let shown = |path: &Path| path.display().to_string();
        let command = match who {
            Who::Nginx => vec![ground.nginx.clone(), "-p".into(), shown(&dir), "-c".into(), shown(&config)],
            _ => vec![shown(&ground.tollgate), "run".into(), shown(&config)],
        };
        let log = dir.join("log");
        let process = Process::pinned(&ground.proxy_cpu.to_string(), &command, &log, ground.life)?;
        let admin = (who == Who::Tollgate).then_some(admin);
        let mut rig = Rig { who, port, admin, process: Some(process) };
        rig.await_ready(&log)?;
        Ok(rig)
    }

    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// CPU time of its processes so far; none for the provider itself.
    pub(super) fn cpu(&self) -> Result<Option<Cpu>, String> {
        self.process.as_ref().map(|process| Cpu::of(process.pid())).transpose()
    }

    /// The process that was started, whose descendants do the work.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// tollgate's own sum of the input and output tokens that it settled, once nothing is under way there.
    pub(super) fn settled(&self) -> Result<Option<(u64, u64)>, String> {
        let Some(admin) = self.admin else { return Ok(None) };
        pages::quiesce(admin, Duration::from_secs(5))?;
        let metrics = pages::Metrics::fetch(admin)?;
        let sum = |kind: &str| metrics.sum("tollgate_tokens_total", &[kind]).unwrap_or(0);
        Ok(Some((sum("\"input\""), sum("\"output\""))))
    }

    fn await_ready(&mut self, log: &Path) -> Result<(), String> {
        let patience = Instant::now() + START_MAX;
        let name = self.who.name();
        while !self.is_ready() {
            if self.process.as_mut().is_some_and(Process::has_ended) || Instant::now() > patience {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{name} does not become ready on port {}; it said\n{said}", self.port));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        match self.admin {
            Some(admin) => {
                let answer = Client::to(admin).ask(&get("/readyz", "connection: close\r\n"));
                answer.is_ok_and(|(head, _)| head.status == 200)
            }
            None => std::net::TcpStream::connect(self.addr()).is_ok(),
        }
    }
}

/// One worker; connections are kept on both sides without limit; events go on as they come. Files are below the directory
/// that nginx is started with.
fn nginx(ground: &Ground, port: u16) -> String {
    let upstream = ground.upstream;
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path client;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive {KEPT};
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 600s;
      proxy_set_header Connection \"\";
      proxy_set_header Authorization \"Bearer sk-sim\";
    }}
  }}
}}
"
    )
}

/// One worker without limits; every body is inspected, every answer metered and settled, every record written.
fn tollgate(ground: &Ground, port: u16, admin: u16) -> String {
    let upstream = ground.upstream;
    format!(
        "apiVersion: tollgate.dev/v1alpha1
kind: Settings
metadata: {{name: drive}}
spec:
  workers: {{cores: 1}}
  process: {{coreDumps: true}} # or only root may read how much memory it has
  admin: {{address: \"127.0.0.1:{admin}\"}}
  records: {{to: /dev/null}}
  upstream: {{idlePerWorker: {KEPT}}}
  listenerOverrides:
  - {{port: {port}, address: \"127.0.0.1:{port}\"}}
  hostOverrides:
  - {{host: 127.0.0.1, to: \"http://127.0.0.1:{upstream}\"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: drive, namespace: default}}
spec:
  gatewayClassName: tollgate
  listeners:
  - {{name: http, protocol: HTTP, port: {port}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: drive, namespace: default}}
spec:
  parentRefs:
  - {{name: drive}}
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
