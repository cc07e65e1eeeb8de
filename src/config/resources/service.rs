//! A Service of Kubernetes. Only one of type ExternalName says where it is; the endpoints of others are a cluster's.

use super::meta::name;
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};

pub(crate) struct Service {
    /// The host of an ExternalName; `None` of every other type.
    pub(crate) external: Option<Located<String>>,
    pub(crate) ports: Vec<Port>,
}

pub(crate) struct Port {
    pub(crate) port: u16,
    /// By which policies of a single port refer to it.
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<Located<String>>,
}

/// The most ports of a Service that are read; ours.
const PORTS_MAX: usize = 64;

/// What says how a cluster makes it; there is none here.
const CLUSTERS: [&str; 19] = [
    "selector",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "sessionAffinity",
    "sessionAffinityConfig",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "loadBalancerClass",
    "allocateLoadBalancerNodePorts",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "healthCheckNodePort",
    "publishNotReadyAddresses",
    "ipFamilies",
    "ipFamilyPolicy",
    "trafficDistribution",
    "topologyKeys",
    "ipFamily",
];

pub(crate) fn read(spec: &Cursor<'_>) -> Option<Service> {
    const TYPES: [(&str, bool); 4] =
        [("ExternalName", true), ("ClusterIP", false), ("NodePort", false), ("LoadBalancer", false)];
    spec.fields(|fields| {
        let is_external = match fields.get("type") {
            Some(field) => field.one_of(&TYPES).map(|kind| kind.value),
            None => Some(false),
        };
        let ports = fields.list("ports", PORTS_MAX, |item| item.fields(port));
        fields.pass_over(&CLUSTERS);
        let external = match is_external? {
            true => Some(fields.need("externalName").and_then(|field| field.parsed(name))?),
            false => {
                fields.pass_over(&["externalName"]);
                None
            }
        };
        Some(Service { external, ports })
    })
}

fn port(fields: &mut Fields<'_>) -> Option<Port> {
    let port = fields.need("port").and_then(|field| field.port());
    let protocol = fields.get("appProtocol").and_then(|field| field.word());
    let name = fields.get("name").and_then(|field| field.word()).map(|name| name.value);
    fields.pass_over(&["targetPort", "nodePort"]);
    if let Some(field) = fields.get("protocol") {
        field.one_of(&[("TCP", ()), ("UDP", ()), ("SCTP", ())]);
    }
    Some(Port { port: port?.value, name, protocol })
}
