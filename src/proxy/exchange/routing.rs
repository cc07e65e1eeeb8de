//! Where a request goes: the route, one of its backends, and the endpoint that is asked first.

use crate::config::{AiBackend, Backend, BackendChoice, Credential, Rule};
use crate::llm::Format;
use crate::llm::provider::{Dialect, Provider};
use crate::llm::translate::Guardrail;
use crate::proxy::attempts::{self, Needs};
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::filters;
use crate::proxy::serving::Serving;
use crate::proxy::worker::Worker;
use crate::route::filters::Filters;
use crate::route::table::{HeaderLookup, Request, Table};
use crate::wire::http1::RequestHead;
use crate::wire::url;

/// The rule of a route that takes the request.
pub(super) fn find_rule<'a>(
    serving: &'a Serving,
    routes: &Table,
    head: &RequestHead,
    bytes: &[u8],
) -> Result<&'a Rule, Fault> {
    let path = head.path_of(bytes);
    url::check_path(path).map_err(|fault| Fault::Path(fault.reason()))?;
    let request = Request {
        host: host_of(head, bytes),
        method: head.method_text.of(bytes),
        path,
        query: head.query.map(|query| query.of(bytes)),
        headers: &Fields { head, bytes },
    };
    let rule = |index: u32| serving.in_force.snapshot.rules.get(index as usize);
    if let Some(found) = routes.find(&request).and_then(rule) {
        return Ok(found);
    }
    // Browsers ask about a request of another method, which is the one that a rule may be for.
    let (_, asked) = filters::announced(head, bytes).ok_or(Fault::NoRoute)?;
    let announced = routes.find(&Request { method: asked.method, ..request }).and_then(rule);
    announced.filter(|rule| filters::speak_of_cors(rule)).ok_or(Fault::NoRoute)
}

/// The headers of a request, as routing looks them up.
struct Fields<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl HeaderLookup for Fields<'_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.head.headers.get(self.bytes, name.as_bytes()).map(|span| span.of(self.bytes))
    }
}

/// The host that a request is for; empty when it names none.
pub(super) fn host_of<'a>(head: &RequestHead, bytes: &'a [u8]) -> &'a [u8] {
    head.host.map_or(&[][..], |host| host.of(bytes))
}

/// One of a rule's backends by their weights, and the filters of its share.
pub(super) fn choose<'a>(worker: &Worker, rule: &'a Rule) -> Result<(u32, &'a Filters), Fault> {
    match rule.backends.pick(worker.random()) {
        Some(BackendChoice::Backend { index, filters }) => Ok((*index, filters)),
        Some(BackendChoice::Invalid) | None => Err(Fault::NoBackend),
    }
}

/// The backend of an index.
pub(super) fn backend_at(serving: &Serving, index: u32) -> Result<&Backend, Fault> {
    serving.in_force.snapshot.backends.get(index as usize).ok_or(Fault::NoBackend)
}

/// The endpoint that is asked first.
pub(super) struct First<'a> {
    pub(super) index: u32,
    pub(super) backend: &'a Backend,
    pub(super) provider: Provider,
    pub(super) dialect: &'a Dialect,
    pub(super) model: Option<&'a str>,
    pub(super) credential: &'a Credential,
    pub(super) path: &'a str,
    pub(super) guardrail: Option<&'a Guardrail>,
    /// The format that is spoken with it.
    pub(super) upstream: Format,
}

/// Which endpoint of the backend at `at` is asked first; it stands in the books from then on.
pub(super) fn first_choice<'s>(
    worker: &Worker,
    serving: &'s Serving,
    entry: &mut Entry,
    at: u32,
    needs: Needs<'_>,
) -> Result<First<'s>, Fault> {
    let index = attempts::first_choice(worker, serving, at, needs);
    let backend = backend_at(serving, index)?;
    let AiBackend { provider, dialect, model, credential, path, guardrail } =
        backend.ai().ok_or(Fault::NoBackend)?;
    entry.record.backend.write(&backend.name);
    entry.record.provider = Some(dialect.name);
    let unpaired = Fault::Unpaired(needs.format, dialect.name);
    let upstream = dialect.speaks(*provider, needs.format).ok_or(unpaired)?;
    let (provider, model, guardrail) = (*provider, model.as_deref(), guardrail.as_ref());
    Ok(First { index, backend, provider, dialect, model, credential, path, guardrail, upstream })
}
