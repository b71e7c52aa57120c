//! Drafts of ServiceEntries.

use proxy_core::{
    model::{Object, Protocol, ProtocolClass, ServiceEntry},
    yaml::{self, Field},
};

use super::{checked, file_for, read};
use crate::{
    dto::{Draft, DraftKind, ServiceForm, ServicePort},
    fault::{Fault, Result},
    session::{View, port, resolution, short},
};

const KIND: DraftKind = DraftKind::ServiceEntry;

/// An empty form.
pub fn blank(view: &View, namespace: &str) -> Draft {
    let form = ServiceForm {
        name: String::new(),
        namespace: namespace.to_string(),
        hosts: Vec::new(),
        addresses: Vec::new(),
        ports: Vec::new(),
        resolution: "DNS".into(),
        location: "MESH_EXTERNAL".into(),
        export_to: Vec::new(),
    };
    of_form(view, form, String::new(), None)
}

/// What a YAML text says.
pub fn draft(view: &View, text: &str) -> Draft {
    let world = match read::read(KIND, text) {
        Ok(world) => world,
        Err(fault) => return unread(text, fault),
    };
    let Some(entry) = world.service_entries.first() else {
        return unread(
            text,
            Fault::new("object", "The apiVersion is not one of networking.istio.io."),
        );
    };
    let form = form_of(entry);
    match gap(&entry.spec) {
        None => of_form(view, form, text.to_string(), None),
        Some(gap) => Draft {
            service: None,
            form_gap: Some(gap),
            ..of_form(view, form, text.to_string(), None)
        },
    }
}

/// What a form says, put into `text` so that its comments stay; into a new document where there is none.
pub fn from_service(view: &View, mut form: ServiceForm, text: Option<&str>) -> Result<Draft> {
    let text = text.filter(|text| !text.trim().is_empty());
    let world = text.map(|text| read::read(KIND, text));
    let before = match &world {
        Some(Ok(world)) => world.service_entries.first().map(|entry| form_of(entry)),
        _ => None,
    };
    // A derived resolution follows the hosts; one that a person chose differs from what would be derived.
    let derived = |form: &ServiceForm| derive(form).0;
    match &before {
        Some(before) if before.resolution == form.resolution && before.resolution == derived(before) => {
            form.resolution = derived(&form).into();
        }
        None if form.resolution.is_empty() => form.resolution = derived(&form).into(),
        _ => {}
    }
    let written = match (text, &before) {
        (Some(text), Some(before)) => merged(text, before, &form)?,
        // A text that cannot be read is not thrown away for a form's sake.
        (Some(text), None) if !matches!(world, Some(Ok(_))) => match fresh_over(text) {
            true => rendered(&form),
            false => return Ok(draft(view, text)),
        },
        _ => rendered(&form),
    };
    let fault = read::read(KIND, &written).err();
    Ok(checked(view, of_form(view, form, written, fault)))
}

/// True when a text that the model refuses is still one the form wrote: a form in the making (no name or host yet).
fn fresh_over(text: &str) -> bool {
    !text.contains('#') && yaml::read(text.as_bytes()).is_ok()
}

fn of_form(view: &View, form: ServiceForm, yaml: String, fault: Option<Fault>) -> Draft {
    Draft {
        kind: KIND,
        sentence: sentence(&form),
        resolution_why: Some(why(&form)),
        file: file_for(view, KIND, &form.namespace, &form.name),
        yaml,
        service: Some(form),
        timeout: None,
        form_gap: None,
        base: None,
        findings: Vec::new(),
        fault,
    }
}

fn unread(text: &str, fault: Fault) -> Draft {
    Draft {
        kind: KIND,
        yaml: text.to_string(),
        service: None,
        timeout: None,
        form_gap: Some("The YAML cannot be taken; the form comes back when it can.".into()),
        sentence: String::new(),
        resolution_why: None,
        file: String::new(),
        base: None,
        findings: Vec::new(),
        fault: Some(fault),
    }
}

fn form_of(entry: &Object<ServiceEntry>) -> ServiceForm {
    let spec = &entry.spec;
    ServiceForm {
        name: entry.meta.name.to_string(),
        namespace: entry.meta.namespace.to_string(),
        hosts: spec.hosts.iter().map(ToString::to_string).collect(),
        addresses: spec.addresses.iter().map(short).collect(),
        ports: spec.ports.iter().map(port).collect(),
        resolution: resolution(spec.resolution).into(),
        location: if spec.mesh_internal {
            "MESH_INTERNAL"
        } else {
            "MESH_EXTERNAL"
        }
        .into(),
        export_to: spec.export_to.to_vec(),
    }
}

/// What the form cannot show.
fn gap(spec: &ServiceEntry) -> Option<String> {
    let mut fields = Vec::new();
    if !spec.endpoints.is_empty() {
        fields.push("endpoints");
    }
    if spec.workload_selector.is_some() {
        fields.push("workloadSelector");
    }
    if !spec.subject_alt_names.is_empty() {
        fields.push("subjectAltNames");
    }
    (!fields.is_empty()).then(|| format!("The form has no field for {}; edit it as YAML.", fields.join(", ")))
}

/// The resolution that fits hosts and addresses, and the reason.
fn derive(form: &ServiceForm) -> (&'static str, &'static str) {
    let wildcard = form.hosts.iter().any(|host| host.starts_with('*'));
    let range = form.addresses.iter().any(|address| address.contains('/'));
    if wildcard {
        return (
            "NONE",
            "A wildcard cannot be looked up, so the address that was dialled is taken.",
        );
    }
    if range {
        return (
            "NONE",
            "A range holds many addresses, so the one that was dialled is taken.",
        );
    }
    (
        "DNS",
        "The host is exact, so the sidecar looks it up itself and a forged address gains nothing.",
    )
}

fn why(form: &ServiceForm) -> String {
    let (derived, reason) = derive(form);
    if form.resolution == derived {
        return format!("Derived: {reason}");
    }
    match form.resolution.as_str() {
        "NONE" => "Chosen: the address that was dialled is trusted; the name can be forged.".into(),
        "STATIC" => "Chosen: the endpoints must be written out, and no name is looked up.".into(),
        "DYNAMIC_DNS" => "Chosen: the name that is asked for is looked up for each request.".into(),
        other => format!("Chosen: {other}. {derived} would fit: {reason}"),
    }
}

fn sentence(form: &ServiceForm) -> String {
    if form.hosts.is_empty() {
        return "Names no host yet.".into();
    }
    if form.ports.is_empty() {
        return format!("Names {} but opens no port: nothing changes.", form.hosts.join(", "));
    }
    let who = match form.export_to.as_slice() {
        [] => "Every workload".to_string(),
        list if list.iter().any(|item| item == "*") => "Every workload".to_string(),
        [own] if own == "." => format!("Workloads in {}", form.namespace),
        list => format!("Workloads in {}", list.join(", ")),
    };
    let speaks = |port: &ServicePort| {
        let verb = match Protocol::parse(&port.protocol).map(Protocol::class) {
            Some(ProtocolClass::Http) => format!("send {} requests", port.protocol),
            Some(ProtocolClass::Tls) => "open TLS".to_string(),
            Some(ProtocolClass::Tcp) => format!("open {} connections", port.protocol),
            _ => "connect".to_string(),
        };
        format!("{verb} on {}", port.number)
    };
    let what: Vec<String> = form.ports.iter().map(speaks).collect();
    let how = match form.resolution.as_str() {
        "DNS" | "DNS_ROUND_ROBIN" => " The sidecar looks the name up itself.",
        "NONE" => " The address that was dialled is trusted.",
        "DYNAMIC_DNS" => " The name asked for is looked up.",
        _ => "",
    };
    format!("{who} may {} to {}.{how}", what.join(" and "), form.hosts.join(", "))
}

fn list(items: &[String]) -> Field {
    match items {
        [] => Field::Absent,
        items => Field::Block(items.iter().map(|item| format!("- {}\n", yaml::quoted(item))).collect()),
    }
}

fn ports(ports: &[ServicePort]) -> Field {
    let item = |port: &ServicePort| {
        let mut text = format!(
            "- number: {}\n  name: {}\n  protocol: {}\n",
            port.number,
            yaml::quoted(&port.name),
            yaml::quoted(&port.protocol)
        );
        if let Some(target) = port.target_port {
            text.push_str(&format!("  targetPort: {target}\n"));
        }
        text
    };
    match ports {
        [] => Field::Absent,
        ports => Field::Block(ports.iter().map(item).collect()),
    }
}

/// `text` with the fields that differ between `before` and `form`.
fn merged(text: &str, before: &ServiceForm, form: &ServiceForm) -> Result<String> {
    let value = |text: &str| Field::Text(text.to_string());
    let steps: [(&[&str], Field, bool); 8] = [
        (&["metadata", "name"], value(&form.name), before.name == form.name),
        (
            &["metadata", "namespace"],
            value(&form.namespace),
            before.namespace == form.namespace,
        ),
        (&["spec", "hosts"], list(&form.hosts), before.hosts == form.hosts),
        (
            &["spec", "addresses"],
            list(&form.addresses),
            before.addresses == form.addresses,
        ),
        (&["spec", "ports"], ports(&form.ports), before.ports == form.ports),
        (
            &["spec", "resolution"],
            value(&form.resolution),
            before.resolution == form.resolution,
        ),
        (
            &["spec", "location"],
            value(&form.location),
            before.location == form.location,
        ),
        (
            &["spec", "exportTo"],
            list(&form.export_to),
            before.export_to == form.export_to,
        ),
    ];
    steps.iter().try_fold(text.to_string(), |text, (path, field, same)| {
        read::set(&text, path, field, *same)
    })
}

/// A new document.
fn rendered(form: &ServiceForm) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n",
        yaml::quoted(&form.name),
        yaml::quoted(&form.namespace)
    );
    let mut block = |key: &str, field: Field| {
        if let Field::Block(lines) = field {
            text.push_str(&format!("  {key}:\n"));
            lines.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    block("hosts", list(&form.hosts));
    block("addresses", list(&form.addresses));
    block("ports", ports(&form.ports));
    block("exportTo", list(&form.export_to));
    text.push_str(&format!(
        "  location: {}\n  resolution: {}\n",
        form.location, form.resolution
    ));
    text
}
