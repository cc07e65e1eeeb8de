//! The smallest proxy that pingora can be: `pingora-peer CONFIG PORT UPSTREAM`. Every request goes to one provider on
//! 127.0.0.1 over kept connections, with the provider's key in place of the client's.

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// Forwards everything to one port.
struct Forward {
    upstream: u16,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(("127.0.0.1", self.upstream), false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        request.insert_header("authorization", "Bearer sk-sim")
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = |index: usize| arguments.get(index).and_then(|text| text.parse::<u16>().ok());
    let (Some(config), Some(port), Some(upstream)) = (arguments.first(), port(1), port(2)) else {
        eprintln!("usage: pingora-peer CONFIG PORT UPSTREAM");
        std::process::exit(2);
    };
    let Some(conf) = ServerConf::load_from_yaml(config).ok() else {
        eprintln!("{config} cannot be read");
        std::process::exit(2);
    };
    let mut server = Server::new_with_opt_and_conf(Opt::default(), conf);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Forward { upstream });
    proxy.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(proxy);
    server.run_forever();
}
