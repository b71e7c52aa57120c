//! The injector's ranges, written where each release of Istio keeps them.

use std::sync::Arc;

use super::{SourceEditError, edit_document};
use crate::{
    model,
    yaml::{self, EditError, Field, Node},
};

/// The four settings that decide what a sidecar captures, as comma-separated lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InjectorRanges {
    /// `includeIPRanges`.
    pub include_ranges: String,
    /// `excludeIPRanges`.
    pub exclude_ranges: String,
    /// `includeOutboundPorts`.
    pub include_ports: String,
    /// `excludeOutboundPorts`.
    pub exclude_ports: String,
}

/// Writes the injector's ranges into the ConfigMap `name` in `text`, where its release of Istio keeps them; what is the same
/// already stays as it is written.
pub fn set_injector_ranges(
    text: &str,
    file: &Arc<str>,
    (namespace, name): (&str, &str),
    ranges: &InjectorRanges,
) -> Result<String, SourceEditError> {
    edit_document(text, file, ("ConfigMap", namespace, name), |document| {
        let written = yaml::read(document.as_bytes())?;
        let data = written.first().and_then(|root| root.get("data"));
        if data.is_some_and(|data| data.get("values").is_some()) {
            return yaml::inside(document, &["data", "values"], |values| in_values(values, ranges));
        }
        yaml::inside(document, &["data", "config"], |config| {
            yaml::inside(config, &["template"], |template| in_template(template, ranges))
        })
    })
}

/// Istio 1.4 and newer: the chart's values as JSON.
fn in_values(values: &str, ranges: &InjectorRanges) -> Result<String, EditError> {
    let fields = [
        ("includeIPRanges", &ranges.include_ranges, "*"),
        ("excludeIPRanges", &ranges.exclude_ranges, ""),
        ("includeOutboundPorts", &ranges.include_ports, ""),
        ("excludeOutboundPorts", &ranges.exclude_ports, ""),
    ];
    fields
        .iter()
        .try_fold(values.to_string(), |values, (key, value, default)| {
            let written = yaml::read(values.as_bytes())?;
            let proxy = written.first().and_then(|root| root.get("global")?.get("proxy"));
            let now = proxy.and_then(|proxy| proxy.get(key)).and_then(Node::text);
            if now.unwrap_or(default) == value.as_str() {
                return Ok(values);
            }
            yaml::set(&values, &["global", "proxy", key], &Field::Text(value.to_string()))
        })
}

/// Istio 1.0 to 1.3: literals in the template. A setting that the template does not have cannot be made.
fn in_template(template: &str, ranges: &InjectorRanges) -> Result<String, EditError> {
    let fields = [
        ("includeOutboundIPRanges", &ranges.include_ranges, "*"),
        ("excludeOutboundIPRanges", &ranges.exclude_ranges, ""),
        ("includeOutboundPorts", &ranges.include_ports, ""),
        ("excludeOutboundPorts", &ranges.exclude_ports, ""),
    ];
    fields
        .iter()
        .try_fold(template.to_string(), |mut template, (key, value, default)| {
            let places = model::places(&template, key);
            if places.is_empty() && value.as_str() != *default {
                return Err(EditError::Layout {
                    path: (*key).into(),
                    why: "the injection template of this release of Istio has no such setting for the mesh; set it by an \
                          annotation of the workload",
                });
            }
            for place in places.into_iter().rev() {
                template.replace_range(place, value);
            }
            Ok(template)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INJECTOR: &str = include_str!("../../../examples/playground/injector.yaml");

    #[test]
    fn one_range_changes_and_the_others_stay() {
        let ranges = InjectorRanges {
            include_ranges: "*".into(),
            exclude_ranges: "198.18.0.20/32".into(),
            ..InjectorRanges::default()
        };
        let place = ("istio-system", "istio-sidecar-injector");
        let edited = set_injector_ranges(INJECTOR, &"i".into(), place, &ranges).unwrap();
        let wanted = INJECTOR.replace("\"excludeIPRanges\": \"\"", "\"excludeIPRanges\": \"198.18.0.20/32\"");
        assert_eq!(edited, wanted);
    }

    #[test]
    fn ranges_inside_a_template_change_there_and_what_it_does_not_know_is_refused() {
        let text = "# by Helm\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n\
                    data:\n  config: |-\n    policy: enabled\n    template: |-\n      initContainers:\n      - name: istio-init\n        \
                    args:\n        - \"-i\"\n        - \"[[ annotation .ObjectMeta `traffic.sidecar.istio.io/includeOutboundIPRanges`  \
                    \"*\"  ]]\"\n        - \"-x\"\n        - \"[[ annotation .ObjectMeta \
                    `traffic.sidecar.istio.io/excludeOutboundIPRanges`  \"\"  ]]\"\n";
        let set = |ranges: &InjectorRanges| {
            set_injector_ranges(text, &"i".into(), ("istio-system", "istio-sidecar-injector"), ranges)
        };
        let mut ranges = InjectorRanges {
            include_ranges: "*".into(),
            exclude_ranges: "10.1.0.0/16".into(),
            ..InjectorRanges::default()
        };
        let wanted = text.replace(
            "excludeOutboundIPRanges`  \"\"",
            "excludeOutboundIPRanges`  \"10.1.0.0/16\"",
        );
        assert_eq!(set(&ranges).as_deref(), Ok(wanted.as_str()));
        ranges.exclude_ports = "22".into();
        let refused = set(&ranges).unwrap_err().to_string();
        assert!(
            refused.contains("excludeOutboundPorts cannot be edited in place"),
            "{refused}"
        );
    }
}
