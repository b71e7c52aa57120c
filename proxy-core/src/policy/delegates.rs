//! Routes that another VirtualService, one without hosts, supplies. Istio: `mergeVirtualServices`.

use std::{borrow::Cow, collections::BTreeMap};

use super::{hosts, visibility::Export};
use crate::model::{
    Delegate, HttpMatch, HttpRoute, MeshConfig, Object, RouteDestination, TextMatch, VirtualService, World,
};

/// The `http` routes of `root` with those of its delegates in their places. A delegate that does not exist, or is not
/// exported to the root's namespace, supplies none.
pub(super) fn routes<'w>(root: &'w Object<VirtualService>, world: &World, mesh: &MeshConfig) -> Cow<'w, [HttpRoute]> {
    if root.spec.http.iter().all(|route| route.delegate.is_none()) {
        return Cow::Borrowed(&root.spec.http);
    }
    let mut merged = Vec::new();
    for route in &root.spec.http {
        let Some(delegate) = &route.delegate else {
            merged.push(route.clone());
            continue;
        };
        let supplied = find(delegate, root, world, mesh);
        let own = supplied
            .into_iter()
            .flat_map(|delegate| delegate.spec.http.iter().map(move |own| (delegate, own)));
        merged.extend(own.filter_map(|(delegate, own)| join(route, own, &delegate.meta.namespace)));
    }
    Cow::Owned(merged)
}

fn find<'v>(
    delegate: &Delegate,
    root: &Object<VirtualService>,
    world: &'v World,
    mesh: &MeshConfig,
) -> Option<&'v Object<VirtualService>> {
    let namespace = delegate.namespace.as_ref().unwrap_or(&root.meta.namespace);
    let found = world.virtual_services.iter().find(|service| {
        service.spec.hosts.is_empty() && service.meta.name == delegate.name && service.meta.namespace == *namespace
    })?;
    let default = &mesh.default_virtual_service_export_to;
    let export = Export::of(&found.spec.export_to, default, namespace, &root.meta.namespace);
    (export != Export::Hidden).then_some(&**found)
}

/// A delegate's route under the root's: what it does not say itself it takes from there. `None` where their conditions
/// exclude each other.
fn join(root: &HttpRoute, own: &HttpRoute, namespace: &str) -> Option<HttpRoute> {
    let matches = conditions(&root.matches, &own.matches)?;
    let mut joined = HttpRoute {
        matches,
        name: match (&root.name, &own.name) {
            (Some(root), Some(own)) => Some(format!("{root}-{own}").into()),
            (root, own) => own.clone().or(root.clone()),
        },
        direct_response: own.direct_response.clone().or(root.direct_response.clone()),
        timeout: own.timeout.or(root.timeout),
        retries: own.retries.clone().or(root.retries.clone()),
        rewrite: own.rewrite.clone().or(root.rewrite.clone()),
        headers: own.headers.clone().or(root.headers.clone()),
        fault: own.fault.clone().or(root.fault.clone()),
        cors: own.cors.clone().or(root.cors.clone()),
        mirror_percentage: own.mirror_percentage.or(root.mirror_percentage),
        mirror_percent: own.mirror_percent.or(root.mirror_percent),
        ..own.clone()
    };
    // Short names are the delegate's own.
    let qualify = |destination: &mut RouteDestination, namespace: &str| {
        destination.host = hosts::qualify(&destination.host, namespace).into();
    };
    let own_mirrors = joined.mirrors.iter_mut().map(|mirror| &mut mirror.destination);
    for destination in joined
        .route
        .iter_mut()
        .chain(joined.mirror.as_deref_mut())
        .chain(own_mirrors)
    {
        qualify(destination, namespace);
    }
    if joined.mirror.is_none() {
        joined.mirror.clone_from(&root.mirror);
    }
    if joined.mirrors.is_empty() {
        joined.mirrors.clone_from(&root.mirrors);
    }
    if joined.mirror_line == 0 {
        joined.mirror_line = root.mirror_line;
    }
    Some(joined)
}

/// Each condition of the delegate under each of the root's that it does not exclude; one that fits none excludes all.
fn conditions(root: &[HttpMatch], own: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || own.is_empty() {
        return Some(if root.is_empty() { own } else { root }.to_vec());
    }
    let mut all = Vec::new();
    for own in own {
        let before = all.len();
        all.extend(
            root.iter()
                .filter(|root| !exclude(root, own))
                .map(|root| both(root, own)),
        );
        if all.len() == before {
            return None;
        }
    }
    Some(all)
}

fn both(root: &HttpMatch, own: &HttpMatch) -> HttpMatch {
    let texts = |root: &BTreeMap<String, TextMatch>, own: &BTreeMap<String, TextMatch>| {
        let mut all = root.clone();
        all.extend(own.clone());
        all
    };
    let mut source_labels = root.source_labels.clone();
    source_labels.extend(own.source_labels.clone());
    HttpMatch {
        name: match (&root.name, &own.name) {
            (Some(root), Some(own)) => Some(format!("{root}-{own}").into()),
            (root, own) => own.clone().or(root.clone()),
        },
        uri: own.uri.clone().or(root.uri.clone()),
        ignore_uri_case: own.ignore_uri_case,
        method: own.method.clone().or(root.method.clone()),
        scheme: own.scheme.clone().or(root.scheme.clone()),
        authority: own.authority.clone().or(root.authority.clone()),
        headers: texts(&root.headers, &own.headers),
        without_headers: texts(&root.without_headers, &own.without_headers),
        query_params: texts(&root.query_params, &own.query_params),
        port: own.port.or(root.port),
        source_labels,
        source_namespace: own.source_namespace.clone().or(root.source_namespace.clone()),
        gateways: if own.gateways.is_empty() {
            &root.gateways
        } else {
            &own.gateways
        }
        .clone(),
    }
}

/// Istio: no request that the delegate asks for is one that the root asks for, as far as can be told.
fn exclude(root: &HttpMatch, own: &HttpMatch) -> bool {
    let single = [
        (&root.uri, &own.uri),
        (&root.scheme, &own.scheme),
        (&root.method, &own.method),
        (&root.authority, &own.authority),
    ];
    let maps = [
        (&root.headers, &own.headers),
        (&root.without_headers, &own.without_headers),
        (&root.query_params, &own.query_params),
    ];
    let mut of_maps = maps
        .into_iter()
        .flat_map(|(root, own)| own.iter().filter_map(|(name, own)| Some((root.get(name)?, own))));
    let differ = |root: Option<u16>, own: Option<u16>| root.is_some() && own.is_some() && root != own;
    let labels = own
        .source_labels
        .iter()
        .any(|(key, value)| root.source_labels.get(key).is_some_and(|known| known != value));
    let gateways = !root.gateways.is_empty()
        && (own.gateways.len() > root.gateways.len() || own.gateways.iter().any(|own| !root.gateways.contains(own)));
    single
        .iter()
        .any(|(root, own)| matches!((root, own), (Some(root), Some(own)) if texts_exclude(root, own)))
        || of_maps.any(|(root, own)| texts_exclude(root, own))
        || root.ignore_uri_case != own.ignore_uri_case
        || differ(root.port, own.port)
        || root.source_namespace.is_some() && own.source_namespace != root.source_namespace
        || labels
        || gateways
}

fn texts_exclude(root: &TextMatch, own: &TextMatch) -> bool {
    use TextMatch::{Exact, Prefix};
    match (root, own) {
        (Exact(root), Exact(own)) if !root.is_empty() => root != own,
        (Prefix(root), Prefix(own) | Exact(own)) if !root.is_empty() && !own.is_empty() => {
            !own.starts_with(root.as_str())
        }
        // Expressions, and conditions that say nothing, are never joined.
        _ => true,
    }
}
