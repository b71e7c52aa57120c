//! The settings of Istio 1.0 to 1.3 that Helm has rendered into the injector's template, as literal defaults of the pod
//! annotations. Three forms were released:
//!
//! * `[[ annotation .ObjectMeta `traffic.sidecar.istio.io/KEY` "LITERAL" ]]`
//! * `(isset .ObjectMeta.Annotations `traffic.sidecar.istio.io/KEY`) (ne "LITERAL" "")`, which guards the argument
//! * `[[ index .ObjectMeta.Annotations "traffic.sidecar.istio.io/KEY" ]]"`, `[[ else -]]`, `- "LITERAL"` (before 1.0.6)

use std::ops::Range;

use regex::Regex;

/// The annotations whose literals are looked for: included ranges, excluded ranges, included ports, excluded ports.
pub const SETTINGS: [&str; 4] = [
    "includeOutboundIPRanges",
    "excludeOutboundIPRanges",
    "includeOutboundPorts",
    "excludeOutboundPorts",
];

/// Where in `template` the literals of `key` stand; they all say the same, and are changed together. In order.
pub fn places(template: &str, key: &str) -> Vec<Range<usize>> {
    let key = format!(r#"[`"]traffic\.sidecar\.istio\.io/{}[`"]"#, regex::escape(key));
    let (open, close) = (r"(?:\[\[|\{\{)-?\s*", r"\s*-?(?:\]\]|\}\})");
    let forms = [
        format!(r#"annotation \.ObjectMeta {key}\s+"(?<literal>[^"]*)""#),
        format!(r#"isset \.ObjectMeta\.Annotations {key}\)\s*\(ne\s+"(?<literal>[^"]*)"\s+""\)"#),
        format!(
            r#"index \.ObjectMeta\.Annotations {key}{close}"\s*{open}else{close}\s*-\s+"(?<literal>[^"]*)"\s*{open}end"#
        ),
    ];
    // An argument that only the annotation brings in: its literal is never read.
    let guarded = format!(r"if \(?isset \.ObjectMeta\.Annotations {key}\)?{close}");
    let [default, guard, fallback] = forms.map(|form| found(template, &form));
    if guard.is_empty() && fallback.is_empty() && !found_any(template, &guarded) {
        return default;
    }
    let effective = if guard.is_empty() { Vec::new() } else { default };
    let mut places = [guard, effective, fallback].concat();
    places.sort_by_key(|place| place.start);
    places
}

fn found(template: &str, form: &str) -> Vec<Range<usize>> {
    let regex = regex(form);
    let literals = regex.captures_iter(template);
    literals
        .filter_map(|captures| Some(captures.name("literal")?.range()))
        .collect()
}

fn found_any(template: &str, form: &str) -> bool {
    regex(form).is_match(template)
}

fn regex(form: &str) -> Regex {
    Regex::new(form).expect("the forms are constants, and the keys are escaped")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals<'t>(template: &'t str, key: &str) -> Vec<&'t str> {
        places(template, key)
            .into_iter()
            .map(|place| &template[place])
            .collect()
    }

    #[test]
    fn the_default_of_an_annotation_is_the_setting() {
        let template = r#"- "[[ annotation .ObjectMeta `traffic.sidecar.istio.io/includeOutboundIPRanges`  "*"  ]]""#;
        assert_eq!(literals(template, "includeOutboundIPRanges"), ["*"]);
        assert_eq!(literals(template, "excludeOutboundIPRanges"), [""; 0]);
    }

    #[test]
    fn the_other_branch_of_a_condition_is_the_setting_before_1_0_6() {
        let template = r#"
- "-i"
[[ if (isset .ObjectMeta.Annotations "traffic.sidecar.istio.io/includeOutboundIPRanges") -]]
- "[[ index .ObjectMeta.Annotations "traffic.sidecar.istio.io/includeOutboundIPRanges"  ]]"
[[ else -]]
- "10.0.0.0/8"
[[ end -]]
- "-x"
[[ if (isset .ObjectMeta.Annotations "traffic.sidecar.istio.io/excludeOutboundIPRanges") -]]
- "[[ index .ObjectMeta.Annotations "traffic.sidecar.istio.io/excludeOutboundIPRanges"  ]]"
[[ else -]]
- ""
[[ end -]]
"#;
        assert_eq!(literals(template, "includeOutboundIPRanges"), ["10.0.0.0/8"]);
        assert_eq!(literals(template, "excludeOutboundIPRanges"), [""]);
    }

    #[test]
    fn what_guards_an_argument_is_part_of_its_setting_and_an_annotation_alone_is_none() {
        let guarded = r#"[[ if or (isset .ObjectMeta.Annotations `traffic.sidecar.istio.io/excludeOutboundPorts`) (ne "22" "") -]]
- "[[ annotation .ObjectMeta `traffic.sidecar.istio.io/excludeOutboundPorts` "22" ]]""#;
        assert_eq!(literals(guarded, "excludeOutboundPorts"), ["22", "22"]);
        let alone = r#"[[ if (isset .ObjectMeta.Annotations `traffic.sidecar.istio.io/excludeOutboundPorts`) -]]
- "[[ annotation .ObjectMeta `traffic.sidecar.istio.io/excludeOutboundPorts` "" ]]""#;
        assert_eq!(literals(alone, "excludeOutboundPorts"), [""; 0]);
    }
}
