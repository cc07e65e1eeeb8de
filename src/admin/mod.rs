//! placeholder until merged
use crate::base::Tick;
use crate::mail::Board;
use std::{io, net::SocketAddr, sync::Arc};
pub struct AdminServer(SocketAddr);
impl AdminServer {
    pub fn start(
        a: SocketAddr,
        _b: Arc<Board>,
        _v: &'static str,
        _n: fn() -> Tick,
    ) -> io::Result<AdminServer> {
        Ok(AdminServer(a))
    }
    pub fn addr(&self) -> SocketAddr {
        self.0
    }
    pub fn stop(self) {}
}
