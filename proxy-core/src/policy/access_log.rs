//! Which sidecars write an access log of what leaves, as Istio merges it: mesh config, then Telemetry of the root
//! namespace, of the workload's namespace, of the workload itself (`pilot/pkg/model/telemetry.go`). What EnvoyFilters add
//! comes beside that: a patch merges lists by appending to them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Workload, registry, visibility};
use crate::model::{AccessLog, EnvoyFilter, FilterContext, FilterLog, Labels, LoggedTraffic, Object, Telemetry, World};

/// Istio's provider that is there without being configured, for files and in the mesh's format.
const BUILT_IN: &str = "envoy";

/// What a sidecar writes into its own output about what leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logged {
    /// A line for each flow.
    All,
    /// A line for flows that fit this expression.
    Some(String),
    /// Nothing, for this reason.
    Nothing(String),
}

/// What `workload`'s sidecar writes.
pub fn logged(world: &World, workload: &Workload) -> Logged {
    match (by_settings(world, workload), by_filters(world, workload)) {
        (Logged::All, _) => Logged::All,
        (_, Some((added @ Logged::All, _))) | (Logged::Nothing(_), Some((added, _))) => added,
        (own, _) => own,
    }
}

/// The EnvoyFilter by which `workload`'s sidecar writes about flows of which it writes already, once more.
pub fn logged_twice<'w>(world: &'w World, workload: &Workload) -> Option<&'w Object<EnvoyFilter>> {
    let (_, filter) = by_filters(world, workload)?;
    (!matches!(by_settings(world, workload), Logged::Nothing(_))).then_some(filter)
}

/// What EnvoyFilters make it write, and the first of them.
fn by_filters<'w>(world: &'w World, workload: &Workload) -> Option<(Logged, &'w Object<EnvoyFilter>)> {
    let root = world.root_namespace();
    let selected = world.envoy_filters.iter().map(|filter| &**filter);
    let selected = selected.filter(|filter| filter.selects(root, &workload.namespace, &workload.labels));
    let leaving = |log: &&FilterLog| {
        matches!(log.context, FilterContext::Any | FilterContext::Outbound)
            && log.file.as_deref().is_some_and(is_output)
    };
    let logs: Vec<(&Object<EnvoyFilter>, &FilterLog)> = selected
        .flat_map(|filter| filter.spec.logs.iter().filter(leaving).map(move |log| (filter, log)))
        .collect();
    let (first, _) = logs.first()?;
    let whole = |of| logs.iter().any(|(_, log)| log.of == of && !log.filtered);
    let some = |what: &str| {
        let (namespace, name) = (&first.meta.namespace, &first.meta.name);
        Logged::Some(format!("{what} (EnvoyFilter {namespace}/{name})"))
    };
    let logged = match (whole(LoggedTraffic::Http), whole(LoggedTraffic::Tcp)) {
        (true, true) => Logged::All,
        (true, false) => some("requests only, no TLS or TCP connections"),
        (false, true) => some("TLS and TCP connections only, no requests"),
        (false, false) => some("what fits its filters"),
    };
    Some((logged, first))
}

/// What mesh config and Telemetry make it write.
fn by_settings(world: &World, workload: &Workload) -> Logged {
    let mesh = world.mesh_config(visibility::revision(world, workload));
    let mesh = mesh.map(|mesh| mesh.spec.clone()).unwrap_or_default();
    let log = &mesh.access_log;
    let wide = |namespace| telemetry_of(world, namespace, None);
    let own = (*workload.namespace != *mesh.root_namespace).then(|| wide(&workload.namespace));
    let levels = [
        wide(&mesh.root_namespace),
        own.flatten(),
        telemetry_of(world, &workload.namespace, Some(&workload.labels)),
    ];
    let speaks = |level: &Arc<Object<Telemetry>>| !level.spec.access_logging.is_empty();
    let levels: Vec<_> = levels.into_iter().flatten().filter(speaks).collect();
    if levels.is_empty() && log.default_providers.is_empty() {
        return match log.file.as_str() {
            "" => Logged::Nothing("The mesh sets no accessLogFile, and no Telemetry asks for access logs.".into()),
            file if is_output(file) => Logged::All,
            file => Logged::Nothing(format!(
                "The mesh's accessLogFile is {file}: it is no output of the container."
            )),
        };
    }
    let providers = merged(log, &levels);
    let seen = |name: &&String| writes_output(log, name);
    let filters: Vec<&String> = providers
        .iter()
        .filter(|(name, _)| seen(name))
        .map(|(_, filter)| filter)
        .collect();
    match filters.iter().find(|filter| filter.is_empty()).or(filters.first()) {
        Some(filter) if filter.is_empty() => Logged::All,
        Some(filter) => Logged::Some((*filter).clone()),
        None => Logged::Nothing(match (levels.last(), providers.keys().next()) {
            (Some(level), None) => {
                format!(
                    "Telemetry {}/{} switches access logs off.",
                    level.meta.namespace, level.meta.name
                )
            }
            (_, Some(name)) => format!("Access logs go to the provider {name}, not to the sidecar's own output."),
            (None, None) => "No provider of access logs is chosen.".into(),
        }),
    }
}

/// The Telemetry that holds for a whole namespace, or for pods with `labels` in it: the oldest, for Istio takes one.
pub fn telemetry_of(world: &World, namespace: &str, labels: Option<&Labels>) -> Option<Arc<Object<Telemetry>>> {
    let fits = |spec: &Telemetry| match labels {
        _ if spec.targeted => false,
        None => spec.selector.is_empty(),
        Some(labels) => {
            let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
            !spec.selector.is_empty() && spec.selector.iter().all(has)
        }
    };
    let all = world.telemetries.iter();
    all.filter(|object| *object.meta.namespace == *namespace && fits(&object.spec))
        .min_by_key(|object| registry::age(object, &object.meta.name))
        .cloned()
}

/// A provider of the mesh that writes into the sidecar's output; `None` where the mesh took the built-in one away.
pub fn output_provider(log: &AccessLog) -> Option<&str> {
    if writes_output(log, BUILT_IN) {
        return Some(BUILT_IN);
    }
    let named = log.providers.iter().map(|provider| provider.name.as_str());
    named.into_iter().find(|name| writes_output(log, name))
}

/// Names of the providers with the filter of each, as Istio merges the levels, the widest first.
fn merged(log: &AccessLog, levels: &[Arc<Object<Telemetry>>]) -> BTreeMap<String, String> {
    if levels.is_empty() {
        return log
            .default_providers
            .iter()
            .map(|name| (name.clone(), String::new()))
            .collect();
    }
    // The narrowest level that names providers says which are in scope.
    let named =
        |level: &&Arc<Object<Telemetry>>| level.spec.access_logging.iter().any(|each| !each.providers.is_empty());
    let scope: Vec<&String> = match levels.iter().rev().find(named) {
        Some(level) => level
            .spec
            .access_logging
            .iter()
            .flat_map(|each| &each.providers)
            .collect(),
        None => log.default_providers.iter().collect(),
    };
    let mut providers = BTreeMap::new();
    let mut filters = BTreeMap::new();
    let mut inherited = &log.default_providers;
    for each in levels.iter().flat_map(|level| &level.spec.access_logging) {
        for name in &each.providers {
            filters.insert(name, &each.filter);
        }
    }
    for each in levels.iter().flat_map(|level| &level.spec.access_logging) {
        if !each.providers.is_empty() {
            inherited = &each.providers;
        }
        for name in inherited
            .iter()
            .filter(|name| scope.contains(name) && !each.inbound_only)
        {
            if each.disabled {
                providers.remove(name);
            } else {
                let filter = filters.get(name).map(|filter| (*filter).clone());
                providers.insert(name.clone(), filter.unwrap_or_default());
            }
        }
    }
    providers
}

fn writes_output(log: &AccessLog, name: &str) -> bool {
    match log
        .providers
        .iter()
        .find(|provider| provider.name.eq_ignore_ascii_case(name))
    {
        Some(provider) => provider.file.as_deref().is_some_and(is_output),
        None => name.eq_ignore_ascii_case(BUILT_IN),
    }
}

/// Files that are a container's output, and so are in its log.
fn is_output(file: &str) -> bool {
    matches!(
        file,
        "/dev/stdout" | "/dev/stderr" | "/proc/self/fd/1" | "/proc/self/fd/2"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model, yaml};

    fn world(mesh: &str, telemetries: &str) -> World {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    {}\n{telemetries}",
            mesh.replace('\n', "\n    ")
        );
        let (mut world, mut order, mut errors, file) = (World::default(), 0, Vec::new(), Arc::from("mesh.yaml"));
        for document in yaml::read(text.as_bytes()).unwrap() {
            model::add_document(&document, &file, &mut order, &mut world, &mut errors);
        }
        assert_eq!(errors, []);
        world
    }

    fn telemetry(namespace: &str, name: &str, spec: &str) -> String {
        format!(
            "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    }

    fn of(world: &World) -> Logged {
        let labels = [("app".to_string(), "cart".to_string())].into();
        let workload = Workload {
            namespace: "shop".into(),
            name: "cart".into(),
            labels,
            ..Workload::default()
        };
        logged(world, &workload)
    }

    #[test]
    fn the_mesh_setting_holds_where_no_telemetry_speaks() {
        for (mesh, all) in [
            ("accessLogFile: /dev/stdout", true),
            ("accessLogFile: ''", false),
            ("{}", false),
            ("accessLogFile: /var/log/envoy", false),
            ("defaultProviders: {accessLogging: [envoy]}", true),
            (
                "defaultProviders: {accessLogging: [otel]}\nextensionProviders: [{name: otel, envoyOtelAls: {}}]",
                false,
            ),
            (
                "defaultProviders: {accessLogging: [mine]}\nextensionProviders: [{name: mine, envoyFileAccessLog: {}}]",
                true,
            ),
        ] {
            assert_eq!(of(&world(mesh, "")) == Logged::All, all, "{mesh}");
        }
    }

    /// An EnvoyFilter in `namespace` that adds a log to each of these filters.
    fn filter(namespace: &str, selector: &str, context: &str, to: &[&str], path: &str) -> String {
        let patches: String = to
            .iter()
            .map(|kind| {
                format!(
                    "  - applyTo: NETWORK_FILTER\n    match: {{context: {context}}}\n    patch: {{operation: MERGE, value: \
                     {{typed_config: {{'@type': t/{kind}, access_log: [{{typed_config: {{'@type': t/FileAccessLog, path: \
                     {path}}}}}]}}}}}}\n"
                )
            })
            .collect();
        format!(
            "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: log, namespace: \
             {namespace}}}\nspec:\n  workloadSelector: {{labels: {{{selector}}}}}\n  configPatches:\n{patches}"
        )
    }

    #[test]
    fn an_envoy_filter_adds_its_log_for_the_pods_that_it_selects() {
        let both = ["HttpConnectionManager", "TcpProxy"];
        let some = |word: &str| Logged::Some(word.into());
        for (objects, expected) in [
            (filter("istio-system", "", "ANY", &both, "/dev/stdout"), Logged::All),
            (
                filter("shop", "app: cart", "SIDECAR_OUTBOUND", &both, "/dev/stdout"),
                Logged::All,
            ),
            (
                filter("shop", "", "ANY", &both[..1], "/dev/stdout"),
                some("requests only"),
            ),
            (
                filter("shop", "", "ANY", &both[1..], "/dev/stdout"),
                some("TLS and TCP"),
            ),
            (
                filter("shop", "app: other", "ANY", &both, "/dev/stdout"),
                some("nothing"),
            ),
            (filter("other", "", "ANY", &both, "/dev/stdout"), some("nothing")),
            (
                filter("shop", "", "SIDECAR_INBOUND", &both, "/dev/stdout"),
                some("nothing"),
            ),
            (filter("shop", "", "ANY", &both, "/var/log/a"), some("nothing")),
        ] {
            match (of(&world("{}", &objects)), expected) {
                (Logged::Some(found), Logged::Some(word)) => assert!(found.starts_with(&word), "{found}"),
                (Logged::Nothing(_), Logged::Some(word)) => assert_eq!(word, "nothing", "{objects}"),
                (found, expected) => assert_eq!(found, expected, "{objects}"),
            }
        }
    }

    #[test]
    fn a_log_that_the_mesh_writes_already_is_written_twice() {
        let objects = filter("shop", "", "ANY", &["TcpProxy"], "/dev/stdout");
        let workload = Workload {
            namespace: "shop".into(),
            ..Workload::default()
        };
        let twice = |mesh: &str| logged_twice(&world(mesh, &objects), &workload).is_some();
        assert!(twice("accessLogFile: /dev/stdout"));
        assert!(!twice("{}"));
    }

    #[test]
    fn the_narrowest_telemetry_decides_and_only_about_what_leaves() {
        let on = "{accessLogging: [{providers: [{name: envoy}]}]}";
        let off = "{accessLogging: [{disabled: true}]}";
        let own = |logging: &str| format!("{{selector: {{matchLabels: {{app: cart}}}}, accessLogging: [{logging}]}}");
        let envoy = "providers: [{name: envoy}]";
        for (telemetries, expected) in [
            (telemetry("istio-system", "a", on), Logged::All),
            (telemetry("shop", "a", on), Logged::All),
            (telemetry("other", "a", on), Logged::Nothing(String::new())),
            (
                telemetry("istio-system", "a", on) + &telemetry("shop", "a", off),
                Logged::Nothing(String::new()),
            ),
            (
                telemetry("istio-system", "a", on)
                    + &telemetry("shop", "a", off)
                    + &telemetry("shop", "b", &own(&format!("{{{envoy}}}"))),
                Logged::All,
            ),
            (
                telemetry("shop", "a", &own(&format!("{{{envoy}, match: {{mode: SERVER}}}}"))),
                Logged::Nothing(String::new()),
            ),
            (
                telemetry(
                    "shop",
                    "a",
                    &own(&format!("{{{envoy}, filter: {{expression: 'response.code >= 400'}}}}")),
                ),
                Logged::Some("response.code >= 400".into()),
            ),
            // Istio takes the first of two for one namespace, though it says nothing of access logs.
            (
                telemetry("shop", "a", "{tracing: [{}]}") + &telemetry("shop", "b", on),
                Logged::Nothing(String::new()),
            ),
            (
                telemetry("shop", "a", &own(&format!("{{{envoy}}}")).replace("cart", "other")),
                Logged::Nothing(String::new()),
            ),
        ] {
            let found = match of(&world("{}", &telemetries)) {
                Logged::Nothing(_) => Logged::Nothing(String::new()),
                other => other,
            };
            assert_eq!(found, expected, "{telemetries}");
        }
    }
}
