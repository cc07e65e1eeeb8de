use super::limitpolicy::key::header;
use super::prices::unknown_model;
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::config::settings::{
    AdminAddress, Limits, RecordsTo, Requests, Ring, Roots, Settings, Timeouts, Workers,
};
use crate::config::values::{self, show_duration};
use crate::telemetry::record::HEADERS_MAX;
use crate::wire::http1::{ChunkLimits, HeadLimits, MAX_HEAD_BYTES, MAX_HEADERS};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A Settings resource of tollgate.dev: the settings, and what takes the place of hosts and ports.
pub(crate) struct SettingsSpec {
    pub(crate) settings: Settings,
    pub(crate) hosts: Vec<HostOverride>,
    pub(crate) listeners: Vec<ListenerOverride>,
    /// `admin.token`, where `$NAME` stands for a variable of the environment.
    pub(crate) admin_token: Option<Located<String>>,
}

/// Connections meant for `host` go to `to`.
pub(crate) struct HostOverride {
    pub(crate) host: Located<String>,
    pub(crate) to: Origin,
}

/// The port of a Gateway is opened at `address`.
pub(crate) struct ListenerOverride {
    pub(crate) port: Located<u16>,
    pub(crate) address: SocketAddr,
}

/// `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// The most overrides of either kind.
const OVERRIDES_MAX: usize = 256;
/// Bytes of a buffer of the kernel's.
const KERNEL_BUFFERS: RangeInclusive<u64> = 64 << 10..=64 << 20;
/// Bytes of a head: what its offsets can say.
const HEAD_BYTES_MAX: u64 = MAX_HEAD_BYTES as u64;
/// The longest timeout.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn read(spec: &Cursor<'_>) -> Option<SettingsSpec> {
    spec.fields(|fields| {
        let mut settings = Settings::default();
        let mut admin_token = None;
        section(fields, "workers", |fields| workers(fields, &mut settings.workers));
        section(fields, "ring", |fields| ring(fields, &mut settings.ring));
        section(fields, "connections", |fields| {
            number(fields, "perWorker", 1..=1_000_000, &mut settings.connections.per_worker);
            let handshakes = &mut settings.connections.handshakes_per_worker;
            number(fields, "handshakesPerWorker", 1..=1_000_000, handshakes);
            kernel_buffer(fields, "sendBufferBytes", &mut settings.connections.send_buffer);
            let per_address = unless(fields, "perAddress", "any", |field| field.integer(1..=1_000_000));
            if let Some(given) = per_address {
                settings.connections.per_address = given.and_then(|given| u32::try_from(given.value).ok());
            }
        });
        section(fields, "admission", |fields| {
            let lag = unless(fields, "lag", "none", |field| duration_within(field, (20, 10_000)));
            if let Some(given) = lag {
                settings.admission.lag = given;
            }
        });
        section(fields, "requests", |fields| {
            heads(fields, &mut settings.requests.heads);
            size(fields, "targetBytes", 256..=HEAD_BYTES_MAX, &mut settings.requests.heads.target_bytes);
            chunks(fields, &mut settings.requests.chunks);
            size(fields, "bodyBytes", 1 << 10..=1 << 30, &mut settings.requests.body_bytes);
            size(fields, "heldBytes", 1 << 20..=1 << 40, &mut settings.requests.held_bytes);
            let Requests { body_bytes, held_bytes, .. } = settings.requests;
            if held_bytes / 4 * 3 < body_bytes * 2 {
                let message = "three quarters of heldBytes, which requests may have, are less than one body of bodyBytes as it \
                               comes and as it is translated";
                let help = "raise heldBytes, or lower bodyBytes";
                fields.faults().fault_with_help(fields.at(), message, help);
            }
        });
        section(fields, "timeouts", |fields| timeouts(fields, &mut settings.timeouts));
        section(fields, "upstream", |fields| {
            number(fields, "idlePerWorker", 0..=65536, &mut settings.upstream.idle_per_worker);
            timeout(fields, "idle", &mut settings.upstream.idle);
            heads(fields, &mut settings.upstream.heads);
            chunks(fields, &mut settings.upstream.chunks);
            number(fields, "interimAnswers", 0..=1000, &mut settings.upstream.interim_answers);
            kernel_buffer(fields, "receiveBufferBytes", &mut settings.upstream.receive_buffer);
            size(fields, "replayBytes", 0..=1 << 30, &mut settings.upstream.replay_bytes);
            section(fields, "ejection", |fields| {
                let ejection = &mut settings.upstream.ejection;
                number(fields, "failures", 1..=1000, &mut ejection.failures);
                timeout(fields, "first", &mut ejection.first);
                timeout(fields, "longest", &mut ejection.longest);
            });
        });
        section(fields, "admin", |fields| {
            let address = fields.get("address");
            admin_token = fields.get("token").and_then(|field| field.word());
            if let Some((field, address)) = address.and_then(|it| it.parsed(admin_address).map(|to| (it, to)))
            {
                settings.admin.address = address.value;
                if admin_token.is_none() && settings.admin.is_exposed() {
                    field.fault_with_help(EXPOSED, EXPOSED_HELP);
                }
            }
        });
        section(fields, "records", |fields| {
            if let Some(to) = fields.get("to").and_then(|field| field.word()) {
                settings.records.to = match to.value.as_str() {
                    "stdout" => RecordsTo::Stdout,
                    "none" => RecordsTo::None,
                    _ => RecordsTo::File(to.value),
                };
            }
            number(fields, "queue", 16..=1 << 20, &mut settings.records.queue);
            let help = "remove it: the member `key` of a record tells credentials apart";
            let headers = fields.list("headers", HEADERS_MAX, |field| header(&field, help));
            settings.records.headers = headers.into_iter().map(Arc::from).collect();
        });
        section(fields, "tls", |fields| {
            if let Some(roots) = fields.get("roots").and_then(|field| roots(&field)) {
                settings.tls.roots = roots;
            }
        });
        section(fields, "limits", |fields| limits(fields, &mut settings.limits));
        section(fields, "prices", |fields| {
            if let Some(policy) = fields.get("unknownModel").and_then(|field| unknown_model(&field)) {
                settings.prices.unknown_model = policy;
            }
        });
        section(fields, "process", |fields| {
            let process = &mut settings.process;
            process.user = fields.get("user").and_then(|field| field.word()).map(|user| user.value);
            let group = fields.get("group");
            if let (Some(field), None) = (&group, &process.user) {
                field.fault_with_help("is the group of a user that is not named", "add process.user");
            }
            process.group = group.and_then(|field| field.word()).map(|group| group.value);
            if let Some(dumps) = fields.get("coreDumps").and_then(|field| field.boolean()) {
                process.core_dumps = dumps;
            }
        });
        section(fields, "upgrade", |fields| {
            let path = fields.get("socket").and_then(|field| field.parsed(socket_path));
            settings.upgrade.socket = path.map(|path| path.value);
        });
        section(fields, "passwords", |fields| {
            let passwords = &mut settings.passwords;
            number(fields, "waiting", 1..=4096, &mut passwords.waiting);
            number(fields, "perCaller", 1..=4096, &mut passwords.per_caller);
            span(fields, "remember", (1000, 24 * 3_600_000), &mut passwords.remember);
        });
        let hosts = fields.list("hostOverrides", OVERRIDES_MAX, |item| item.fields(host_override));
        let listeners =
            fields.list("listenerOverrides", OVERRIDES_MAX, |item| item.fields(listener_override));
        Some(SettingsSpec { settings, hosts, listeners, admin_token })
    })
}

fn workers(fields: &mut Fields<'_>, workers: &mut Workers) {
    if let Some(field) = fields.get("cores") {
        let is_auto = field.node_text() == Some("auto");
        if !is_auto && let Some(cores) = field.integer(1..=256) {
            workers.cores = u16::try_from(cores.value).ok();
        }
    }
    if let Some(pin) = fields.get("pin").and_then(|field| field.boolean()) {
        workers.pin = pin;
    }
}

fn ring(fields: &mut Fields<'_>, ring: &mut Ring) {
    power_of_two(fields, "submissionEntries", 64..=32768, &mut ring.submission_entries);
    power_of_two(fields, "completionEntries", 128..=65536, &mut ring.completion_entries);
    power_of_two(fields, "receiveBuffers", 16..=32768, &mut ring.receive_buffers);
    size(fields, "receiveBufferBytes", 4 << 10..=1 << 20, &mut ring.receive_buffer_bytes);
    size(fields, "inboxBytes", 4 << 10..=16 << 20, &mut ring.inbox_bytes);
    if ring.completion_entries < ring.submission_entries {
        let message = "completionEntries is below submissionEntries";
        fields.faults().fault_with_help(fields.at(), message, "the kernel wants at least as many");
    }
}

/// What a head may cost.
fn heads(fields: &mut Fields<'_>, limits: &mut HeadLimits) {
    size(fields, "headBytes", 1 << 10..=HEAD_BYTES_MAX, &mut limits.head_bytes);
    number(fields, "headers", 8..=MAX_HEADERS as u64, &mut limits.headers);
}

/// What a chunked body may cost beside its payload.
fn chunks(fields: &mut Fields<'_>, limits: &mut ChunkLimits) {
    size(fields, "extensionBytes", 0..=64 << 10, &mut limits.extension_bytes);
    number(fields, "trailers", 0..=1000, &mut limits.trailers);
    size(fields, "trailerBytes", 64..=64 << 10, &mut limits.trailer_bytes);
}

fn timeouts(fields: &mut Fields<'_>, timeouts: &mut Timeouts) {
    timeout(fields, "head", &mut timeouts.head);
    timeout(fields, "body", &mut timeouts.body);
    timeout(fields, "idle", &mut timeouts.idle);
    timeout(fields, "connect", &mut timeouts.connect);
    timeout(fields, "firstByte", &mut timeouts.first_byte);
    timeout(fields, "streamIdle", &mut timeouts.stream_idle);
    timeout(fields, "request", &mut timeouts.request);
    timeout(fields, "handshake", &mut timeouts.handshake);
    timeout(fields, "linger", &mut timeouts.linger);
    timeout(fields, "drain", &mut timeouts.drain);
    timeout(fields, "drainIdle", &mut timeouts.drain_idle);
}

fn limits(fields: &mut Fields<'_>, limits: &mut Limits) {
    number(fields, "accounts", 16..=16_000_000, &mut limits.accounts);
    number(fields, "inFlightPerWorker", 16..=1_000_000, &mut limits.in_flight_per_worker);
    section(fields, "lease", |fields| {
        number(fields, "share", 1..=50, &mut limits.lease_share);
        span(fields, "quantum", (1, 100), &mut limits.lease_quantum);
    });
    section(fields, "reserve", |fields| {
        number(fields, "output", 16..=131_072, &mut limits.output_reserve);
        number(fields, "streamChunk", 16..=65_536, &mut limits.stream_chunk);
    });
    span(fields, "hold", (1000, 24 * 3_600_000), &mut limits.hold);
    if let Some(store) = fields.get("store").and_then(|field| field.word()) {
        limits.store = Some(store.value).filter(|store| store != "none");
    }
    span(fields, "checkpoint", (100, 600_000), &mut limits.checkpoint);
}

/// `system`, or a list of PEM files.
fn roots(field: &Cursor<'_>) -> Option<Roots> {
    if field.node_text() == Some("system") {
        return Some(Roots::System);
    }
    if field.node_text().is_some() {
        field.fault("must be system or a list of PEM files");
        return None;
    }
    let files = field.list(OVERRIDES_MAX, |item| item.word().map(|file| file.value));
    if files.is_empty() {
        field
            .fault_with_help("names no file: nobody would be trusted", "write system or a list of PEM files");
        return None;
    }
    Some(Roots::Files(files))
}

fn host_override(fields: &mut Fields<'_>) -> Option<HostOverride> {
    let host = fields.need("host").and_then(|field| field.parsed(values::host));
    let to = fields.need("to").and_then(|field| field.parsed(origin));
    Some(HostOverride { host: host?, to: to?.value })
}

fn listener_override(fields: &mut Fields<'_>) -> Option<ListenerOverride> {
    let port = fields.need("port").and_then(|field| field.port());
    let address = fields.need("address").and_then(|field| field.parsed(socket_address));
    Some(ListenerOverride { port: port?, address: address?.value })
}

/// The error completes the sentence `"to" ...`.
pub(crate) fn origin(text: &str) -> Result<Origin, String> {
    const WANTED: &str = "must be http://host:port or https://host:port";
    let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(WANTED.into()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| WANTED.to_string())?)
        }
        _ => (rest, if tls { 443 } else { 80 }),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = values::host(bare).map_err(|_| WANTED.to_string())?;
    Ok(Origin { host, port, tls })
}

/// Said of an admin endpoint that others than this host can reach and that anybody may read.
pub(crate) const EXPOSED: &str = "is not on loopback, and there is no admin.token";
pub(crate) const EXPOSED_HELP: &str =
    "set admin.token, or write an address of 127.0.0.0/8, [::1], or unix: and a path; or none";

/// `none`, an address, or `unix:` and a path.
pub(crate) fn admin_address(text: &str) -> Result<Option<AdminAddress>, String> {
    match (text, text.strip_prefix("unix:")) {
        ("none", _) => Ok(None),
        (_, Some(path)) => socket_path(path).map(|path| Some(AdminAddress::Unix(path))),
        _ => socket_address(text).map(|address| Some(AdminAddress::Tcp(address))),
    }
}

/// The longest path of a Unix socket (unix(7): 108 bytes with the final NUL), less what a draft of its name takes.
const SOCKET_PATH_MAX: usize = 90;

/// The path of a Unix socket.
fn socket_path(path: &str) -> Result<String, String> {
    match path.starts_with('/') && !path.ends_with('/') && path.len() <= SOCKET_PATH_MAX {
        true => Ok(path.to_owned()),
        false => Err(format!("must be a path from / on of at most {SOCKET_PATH_MAX} bytes")),
    }
}

/// An IP address and a port.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".into())
}

fn section(fields: &mut Fields<'_>, name: &'static str, read: impl FnOnce(&mut Fields<'_>)) {
    if let Some(field) = fields.get(name) {
        field.fields(|fields| {
            read(fields);
            Some(())
        });
    }
}

fn number<T: TryFrom<u64>>(
    fields: &mut Fields<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
    to: &mut T,
) {
    let given = fields.get(name).and_then(|field| field.integer(range));
    if let Some(given) = given.and_then(|given| T::try_from(given.value).ok()) {
        *to = given;
    }
}

fn power_of_two<T: TryFrom<u64>>(
    fields: &mut Fields<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
    to: &mut T,
) {
    let Some(field) = fields.get(name) else { return };
    let Some(given) = field.integer(range) else { return };
    if !given.value.is_power_of_two() {
        let below = given.value.next_power_of_two() / 2;
        field.fault_with_help("must be a power of two", format!("write {below} or {}", below * 2));
    }
    if let Ok(given) = T::try_from(given.value) {
        *to = given;
    }
}

fn size<T: TryFrom<u64>>(
    fields: &mut Fields<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
    to: &mut T,
) {
    let given = fields.get(name).and_then(|field| field.size(range));
    if let Some(given) = given.and_then(|given| T::try_from(given).ok()) {
        *to = given;
    }
}

/// A duration from `least` to `most` milliseconds.
fn span(fields: &mut Fields<'_>, name: &'static str, (least, most): (u64, u64), to: &mut Duration) {
    let given = fields.get(name).and_then(|field| duration_within(&field, (least, most)));
    if let Some(given) = given {
        *to = given;
    }
}

fn duration_within(field: &Cursor<'_>, (least, most): (u64, u64)) -> Option<Duration> {
    let given = field.duration()?.value;
    let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
    if given < least || given > most {
        field.fault(format!("must be from {} to {}", show_duration(least), show_duration(most)));
        return None;
    }
    Some(given)
}

/// A size, or `auto`, which leaves it to the kernel.
fn kernel_buffer(fields: &mut Fields<'_>, name: &'static str, to: &mut Option<u32>) {
    let given = unless(fields, name, "auto", |field| field.size(KERNEL_BUFFERS));
    if let Some(given) = given {
        *to = given.and_then(|bytes| u32::try_from(bytes).ok());
    }
}

/// What `read` makes of a field, or `Some(None)` where it is this word; `None` when there is no field, or after a fault.
fn unless<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    word: &str,
    read: impl FnOnce(&Cursor<'_>) -> Option<T>,
) -> Option<Option<T>> {
    let field = fields.get(name)?;
    match field.node_text() {
        Some(text) if text == word => Some(None),
        _ => read(&field).map(Some),
    }
}

fn timeout(fields: &mut Fields<'_>, name: &'static str, to: &mut Duration) {
    let Some(field) = fields.get(name) else { return };
    let Some(given) = field.duration() else { return };
    if given.value.is_zero() || given.value > TIMEOUT_MAX {
        return field.fault("must be above zero and at most 24h");
    }
    *to = given.value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (text, host, port, tls) in [
            ("http://127.0.0.1:18081", "127.0.0.1", 18081, false),
            ("https://relay.example.com", "relay.example.com", 443, true),
            ("http://relay/", "relay", 80, false),
            ("https://[::1]:8443", "::1", 8443, true),
            ("http://[::1]", "::1", 80, false),
        ] {
            assert_eq!(origin(text), Ok(Origin { host: host.into(), port, tls }), "{text}");
        }
        for bad in
            ["127.0.0.1:1", "ftp://a", "http://", "http://a:0", "http://a:65536", "http://a/b", "http://a:b"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
