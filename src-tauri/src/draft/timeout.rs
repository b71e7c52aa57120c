//! Drafts of timeouts: VirtualServices with one HTTP route to one host.

use proxy_core::{
    model::{Object, ProtocolClass, VirtualService, World},
    yaml::{self, Field, Node, Value},
};

use super::{checked, file_for, read};
use crate::{
    dto::{Draft, DraftKind, TimeoutForm},
    fault::{Fault, Result},
    session::View,
};

const KIND: DraftKind = DraftKind::VirtualService;

/// An empty form.
pub fn blank(view: &View, namespace: &str) -> Draft {
    let form = TimeoutForm {
        name: String::new(),
        namespace: namespace.to_string(),
        host: String::new(),
        timeout_ms: Some(3000),
    };
    of_form(view, form, String::new(), None)
}

/// What a YAML text says.
pub fn draft(view: &View, text: &str) -> Draft {
    let world = match read::read(KIND, text) {
        Ok(world) => world,
        Err(fault) => return unread(text, None, fault),
    };
    let Some(service) = world.virtual_services.first() else {
        return unread(
            text,
            None,
            Fault::new("object", "The apiVersion is not one of networking.istio.io."),
        );
    };
    match form_of(service) {
        Ok(form) => {
            let fault = refused(view.world(), &form);
            of_form(view, form, text.to_string(), fault)
        }
        Err(gap) => Draft {
            fault: None,
            file: file_for(view, KIND, &service.meta.namespace, &service.meta.name),
            ..unread(text, Some(gap), Fault::input(""))
        },
    }
}

/// What a form says, put into `text` so that its comments stay; into a new document where there is none.
pub fn from_timeout(view: &View, proposed: Option<&World>, form: TimeoutForm, text: Option<&str>) -> Result<Draft> {
    let text = text.filter(|text| !text.trim().is_empty());
    let before = text.and_then(|text| read::read(KIND, text).ok()).and_then(|world| {
        let service = world.virtual_services.first()?;
        form_of(service).ok()
    });
    let written = match (text, before) {
        (Some(text), Some(before)) => merged(text, &before, &form)?,
        _ => rendered(&form),
    };
    let fault = read::read(KIND, &written).err();
    let fault = fault.or_else(|| refused(proposed.unwrap_or(view.world()), &form));
    Ok(checked(view, of_form(view, form, written, fault)))
}

fn of_form(view: &View, form: TimeoutForm, yaml: String, fault: Option<Fault>) -> Draft {
    Draft {
        kind: KIND,
        sentence: sentence(&form),
        resolution_why: None,
        file: file_for(view, KIND, &form.namespace, &form.name),
        yaml,
        fault,
        service: None,
        timeout: Some(form),
        form_gap: None,
        base: None,
        findings: Vec::new(),
    }
}

fn unread(text: &str, gap: Option<String>, fault: Fault) -> Draft {
    Draft {
        kind: KIND,
        yaml: text.to_string(),
        service: None,
        timeout: None,
        form_gap: Some(gap.unwrap_or_else(|| "The YAML cannot be taken; the form comes back when it can.".into())),
        sentence: String::new(),
        resolution_why: None,
        file: String::new(),
        base: None,
        findings: Vec::new(),
        fault: Some(fault),
    }
}

/// The form, or what it cannot show.
fn form_of(service: &Object<VirtualService>) -> Result<TimeoutForm, String> {
    let spec = &service.spec;
    let [host] = spec.hosts.as_slice() else {
        return Err("The form shows one host; this has several. Edit it as YAML.".into());
    };
    let [route] = spec.http.as_slice() else {
        return Err(format!(
            "The form shows one HTTP route; this has {}. Edit it as YAML.",
            spec.http.len()
        ));
    };
    if !spec.tls.is_empty() || !spec.tcp.is_empty() {
        return Err("The form has no field for TLS and TCP routes. Edit it as YAML.".into());
    }
    Ok(TimeoutForm {
        name: service.meta.name.to_string(),
        namespace: service.meta.namespace.to_string(),
        host: host.to_string(),
        timeout_ms: route.timeout.map(|timeout| timeout.as_millis() as u64),
    })
}

/// Why a timeout would do nothing: the sidecar sees no requests of this host.
fn refused(world: &World, form: &TimeoutForm) -> Option<Fault> {
    if form.host.is_empty() || form.timeout_ms.is_none() {
        return None;
    }
    let entries = world
        .service_entries
        .iter()
        .filter(|entry| entry.spec.hosts.iter().any(|host| **host == *form.host));
    let ports: Vec<_> = entries.flat_map(|entry| entry.spec.ports.iter()).collect();
    if ports.is_empty() {
        return Some(
            Fault::new(
                "no-service",
                format!("No ServiceEntry names {}, so no route of it is ever used.", form.host),
            )
            .hint("Register the host with an HTTP port first; then the timeout holds."),
        );
    }
    if ports
        .iter()
        .any(|port| matches!(port.protocol.class(), ProtocolClass::Http | ProtocolClass::Auto))
    {
        return None;
    }
    Some(
        Fault::new(
            "no-requests",
            format!(
                "A timeout cannot work for {}: the sidecar sees no requests there.",
                form.host
            ),
        )
        .hint(
            "Its ports carry TLS or TCP, one encrypted or plain stream. To have timeouts, let the sidecar originate \
                 TLS: an HTTP port 80 with targetPort 443, and a DestinationRule with tls.mode SIMPLE.",
        ),
    )
}

fn sentence(form: &TimeoutForm) -> String {
    match form.timeout_ms {
        _ if form.host.is_empty() => "Names no host yet.".into(),
        None => format!("Requests to {} may take as long as they like.", form.host),
        Some(limit) => format!(
            "Requests to {} get 504 when they take longer than {}.",
            form.host,
            spelled(limit, " ")
        ),
    }
}

/// `3s`, `1500ms`: as YAML and people write it.
fn spelled(milliseconds: u64, between: &str) -> String {
    if milliseconds.is_multiple_of(1000) {
        format!("{}{between}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}{between}ms")
    }
}

/// `text` with the fields that differ between `before` and `form`.
fn merged(text: &str, before: &TimeoutForm, form: &TimeoutForm) -> Result<String> {
    let value = |text: &str| Field::Text(text.to_string());
    let text = read::set(
        text,
        &["metadata", "name"],
        &value(&form.name),
        before.name == form.name,
    )?;
    let text = read::set(
        &text,
        &["metadata", "namespace"],
        &value(&form.namespace),
        before.namespace == form.namespace,
    )?;
    let same_host = before.host == form.host;
    let hosts = Field::Block(format!("- {}\n", yaml::quoted(&form.host)));
    let text = read::set(&text, &["spec", "hosts"], &hosts, same_host)?;
    if same_host && before.timeout_ms == form.timeout_ms {
        return Ok(text);
    }
    route(&text, before, form)
}

/// The one route: its timeout changes in place. Another host makes the route anew.
fn route(text: &str, before: &TimeoutForm, form: &TimeoutForm) -> Result<String> {
    if before.host != form.host {
        return read::set(text, &["spec", "http"], &Field::Block(route_lines(form)), false);
    }
    let documents = yaml::read(text.as_bytes()).map_err(|error| Fault::new("syntax", error.message))?;
    let timeout = documents
        .first()
        .and_then(|root| root.get("spec")?.get("http")?.items().first()?.get("timeout"))
        .filter(|node| matches!(node.value, Value::Scalar(..)) && !node.is_null());
    match (timeout, form.timeout_ms) {
        (Some(Node { span, .. }), Some(limit)) => {
            Ok([&text[..span.start], &spelled(limit, ""), &text[span.end..]].concat())
        }
        // Adding or taking away a key of a list item moves its neighbours: the item is written anew.
        _ => read::set(text, &["spec", "http"], &Field::Block(route_lines(form)), false),
    }
}

fn route_lines(form: &TimeoutForm) -> String {
    let host = yaml::quoted(&form.host);
    match form.timeout_ms {
        Some(limit) => {
            let limit = spelled(limit, "");
            format!("- timeout: {limit}\n  route:\n  - destination:\n      host: {host}\n")
        }
        None => format!("- route:\n  - destination:\n      host: {host}\n"),
    }
}

/// A new document.
fn rendered(form: &TimeoutForm) -> String {
    let (name, namespace, host) = (
        yaml::quoted(&form.name),
        yaml::quoted(&form.namespace),
        yaml::quoted(&form.host),
    );
    let route: String = route_lines(form).lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {name}\n  namespace: {namespace}\n\
         spec:\n  hosts:\n  - {host}\n  http:\n{route}"
    )
}
