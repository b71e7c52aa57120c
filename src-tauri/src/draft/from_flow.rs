//! "Allow...": the smallest ServiceEntry that names what a flow went to.

use proxy_core::record::FlowRecord;

use super::{from_service, from_timeout};
use crate::{
    dto::{Draft, DraftKind, ServiceForm, ServicePort, TimeoutForm},
    fault::Result,
    session::View,
    traffic::Row,
};

/// A draft prefilled from a flow: host or SNI, port and protocol as they were seen.
pub fn from_flow(view: &View, kind: DraftKind, row: &Row) -> Result<Draft> {
    let host = row.name();
    let namespace = match row.record.workload.namespace.as_str() {
        "" => "default".to_string(),
        namespace => namespace.to_string(),
    };
    if kind == DraftKind::VirtualService {
        let form = TimeoutForm {
            name: object_name(&host),
            namespace,
            host,
            timeout_ms: Some(3000),
        };
        return from_timeout(view, None, form, None);
    }
    let named = row.record.host.is_some() || row.record.sni.is_some();
    let (protocol, port_name) = protocol(&row.record);
    let address = row.record.destination.ip().to_string();
    let form = ServiceForm {
        name: object_name(&host),
        namespace,
        // Without a name the entry goes by address; its host is only a name for it.
        hosts: vec![if named {
            host
        } else {
            format!("{}.invalid", object_name(&address))
        }],
        addresses: if named { Vec::new() } else { vec![address] },
        ports: vec![ServicePort {
            number: row.record.destination.port(),
            name: port_name.into(),
            protocol: protocol.into(),
            target_port: None,
        }],
        resolution: if named { String::new() } else { "NONE".into() },
        location: "MESH_EXTERNAL".into(),
        export_to: Vec::new(),
    };
    from_service(view, form, None)
}

fn protocol(record: &FlowRecord) -> (&'static str, &'static str) {
    match (record.protocol.as_str(), record.destination.port()) {
        ("http", _) => ("HTTP", "http"),
        ("http2", _) => ("HTTP2", "http2"),
        ("tls", 443) => ("HTTPS", "https"),
        ("tls", _) => ("TLS", "tls"),
        (_, 27017) => ("MONGO", "mongo"),
        _ => ("TCP", "tcp"),
    }
}

/// A Kubernetes name for an object about a host: `*.wikipedia.org` becomes `any-wikipedia-org`.
fn object_name(host: &str) -> String {
    let host = host.to_ascii_lowercase().replace("*.", "any.");
    let words = host
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-");
    name.truncate(63);
    name.trim_end_matches('-').to_string()
}
