//! "Allow...": the smallest ServiceEntry that names what a flow went to.

use std::{collections::HashSet, sync::Arc};

use proxy_core::{
    model::{Meta, Object, ServiceEntry, VirtualService, World},
    record::FlowRecord,
};

use super::{Staged, from_service, from_timeout, open};
use crate::{
    dto::{Draft, DraftKind, ServiceForm, ServicePort, TimeoutForm},
    fault::Result,
    session::View,
    traffic::Row,
};

/// What is there already: the folder's objects and, before them, the staged ones.
pub struct Present<'a> {
    /// The folder with the staged edits.
    pub world: &'a World,
    /// A staged object.
    pub staged: &'a dyn Fn(DraftKind, &str, &str) -> Option<Staged>,
}

/// A draft prefilled from a flow: host or SNI, port and protocol as they were seen. Where an object names that host
/// alone, it is opened with what is missing put in.
pub fn from_flow(view: &View, present: &Present<'_>, kind: DraftKind, row: &Row) -> Result<Draft> {
    let namespace = match row.record.workload.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    };
    match kind {
        DraftKind::ServiceEntry => service(view, present, namespace, row),
        DraftKind::VirtualService => timeout(view, present, namespace, row),
    }
}

fn timeout(view: &View, present: &Present<'_>, namespace: &str, row: &Row) -> Result<Draft> {
    const KIND: DraftKind = DraftKind::VirtualService;
    let host = row.name();
    let own = |object: &&Arc<Object<VirtualService>>| {
        &*object.meta.namespace == namespace && object.spec.hosts.iter().any(|own| **own == *host)
    };
    if let Some(object) = present.world.virtual_services.iter().find(own) {
        return present.open(view, KIND, &object.meta);
    }
    let taken = present.world.virtual_services.iter().map(|object| &object.meta);
    let form = TimeoutForm {
        name: free_name(&object_name(&host), namespace, taken),
        namespace: namespace.to_string(),
        host,
        timeout_ms: Some(3000),
    };
    from_timeout(view, Some(present.world), form, None)
}

fn service(view: &View, present: &Present<'_>, namespace: &str, row: &Row) -> Result<Draft> {
    const KIND: DraftKind = DraftKind::ServiceEntry;
    let host = row.name();
    let named = row.record.host.is_some() || row.record.sni.is_some();
    let (protocol, port_name) = protocol(&row.record);
    let number = row.record.destination.port();
    let port = |name: String| ServicePort {
        number,
        name,
        protocol: protocol.into(),
        target_port: None,
    };
    let own = |object: &&Arc<Object<ServiceEntry>>| {
        &*object.meta.namespace == namespace && matches!(&*object.spec.hosts, [own] if **own == *host)
    };
    if let Some(object) = present.world.service_entries.iter().find(own).filter(|_| named) {
        let draft = present.open(view, KIND, &object.meta)?;
        // A port that is declared already cannot be declared again; the person sees it and what it speaks.
        let Some(mut form) = draft
            .service
            .clone()
            .filter(|form| form.ports.iter().all(|port| port.number != number))
        else {
            return Ok(draft);
        };
        let taken = form.ports.iter().any(|port| port.name == port_name);
        form.ports.push(port(if taken {
            format!("{port_name}-{number}")
        } else {
            port_name.to_string()
        }));
        let with_port = from_service(view, form, Some(&draft.yaml))?;
        return Ok(Draft {
            base: draft.base,
            ..with_port
        });
    }
    let address = row.record.destination.ip().to_string();
    let taken = present.world.service_entries.iter().map(|object| &object.meta);
    let form = ServiceForm {
        name: free_name(&object_name(&host), namespace, taken),
        namespace: namespace.to_string(),
        // Without a name the entry goes by address; its host is only a name for it.
        hosts: vec![if named {
            host
        } else {
            format!("{}.invalid", object_name(&address))
        }],
        addresses: if named { Vec::new() } else { vec![address] },
        ports: vec![port(port_name.to_string())],
        resolution: if named { String::new() } else { "NONE".into() },
        location: "MESH_EXTERNAL".into(),
        export_to: Vec::new(),
    };
    from_service(view, form, None)
}

impl Present<'_> {
    fn open(&self, view: &View, kind: DraftKind, meta: &Meta) -> Result<Draft> {
        let staged = (self.staged)(kind, &meta.namespace, &meta.name);
        open(view, staged, (kind, &meta.namespace, &meta.name))
    }
}

/// `name`, or with a number behind it where an object of the namespace is called so already.
fn free_name<'a>(name: &str, namespace: &str, taken: impl Iterator<Item = &'a Meta>) -> String {
    let taken: HashSet<&str> = taken
        .filter(|meta| &*meta.namespace == namespace)
        .map(|meta| &*meta.name)
        .collect();
    let numbered = (2..).map(|number| format!("{}-{number}", name.get(..60).unwrap_or(name)));
    std::iter::once(name.to_string())
        .chain(numbered)
        .find(|name| !taken.contains(name.as_str()))
        .unwrap_or_default()
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
