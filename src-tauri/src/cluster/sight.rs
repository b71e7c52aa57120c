//! What of a cluster this person sees, where that is not all of it: verdicts, modes and counts depend on the rest too.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Cluster,
    kinds::{CONFIG_MAP, NAMESPACE, OPTIONAL, WEBHOOK},
    spaces::MAX_SINGLY,
    standing::KindWatch,
};

/// Kinds that are in no namespace.
const APART: [&str; 2] = [NAMESPACE, WEBHOOK];

/// Kinds by the namespaces in which alone they are seen.
type Partly<'a> = BTreeMap<BTreeSet<&'a str>, Vec<&'a str>>;

impl Cluster {
    /// What is not visible, a sentence each; none where everything is.
    pub fn unseen(&self) -> Vec<String> {
        unseen(&self.watches(), self.spaces.beyond(), self.homes.all())
    }
}

fn unseen(watches: &BTreeMap<String, KindWatch>, beyond: usize, homes: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let (mut partly, mut nowhere) = (Partly::new(), Vec::new());
    for (kind, watch) in watches {
        let seen: BTreeSet<&str> = watch.seen_in().collect();
        let never = !watch.whole.synced && watch.whole.is_refused() || watch.refused;
        match (never, seen.is_empty()) {
            (true, false) => partly.entry(seen).or_default().push(kind),
            // What was seen once stays, and is told as lost.
            (true, true) if !watch.whole.synced => nowhere.push(kind.as_str()),
            _ => {}
        }
    }
    let visible: BTreeSet<&str> = partly.keys().flatten().copied().collect();
    if !visible.is_empty() {
        let whole = watches
            .iter()
            .filter(|(kind, watch)| !watch.refused && watch.whole.synced && is_of_namespaces(kind));
        let own = partly.remove(&visible).unwrap_or_default();
        let of = if whole.count() == 0 {
            String::new()
        } else {
            format!("Of {}: ", listed(own))
        };
        told.push(format!(
            "{of}Only what is in {} is visible: what other namespaces export to them is not known, and can change verdicts.",
            namespaces(&visible)
        ));
        for (seen, kinds) in partly {
            told.push(format!("{} visible only in {}.", is(&kinds), listed(seen)));
        }
    }
    // It counts where namespaces are followed one by one, and not after that.
    if beyond > 0 && watches.values().any(|watch| watch.refused) {
        told.push(format!(
            "{beyond} more {}: at most {MAX_SINGLY} namespaces are followed one by one. Name those that matter under \
             \"What is there\" in the menu at the top left.",
            if beyond == 1 {
                "namespace may be visible"
            } else {
                "namespaces may be visible"
            }
        ));
    }
    for namespace in homes {
        let own = format!("{CONFIG_MAP} in {namespace}");
        if nowhere.contains(&own.as_str()) {
            told.push(format!(
                "The ConfigMaps in {namespace} are not visible: the mesh's outbound mode and the injector's bypass ranges \
                 are not known, and Istio's defaults are assumed (ALLOW_ANY, everything captured)."
            ));
            nowhere.retain(|kind| *kind != own);
        }
    }
    // Where these are missing it is told where it matters.
    nowhere.retain(|kind| !OPTIONAL.contains(kind));
    if !nowhere.is_empty() {
        told.push(format!("{} visible nowhere.", is(&nowhere)));
    }
    told
}

/// Whether objects of `kind` matter in any namespace.
fn is_of_namespaces(kind: &str) -> bool {
    !APART.contains(&kind) && !kind.starts_with(CONFIG_MAP)
}

fn namespaces(names: &BTreeSet<&str>) -> String {
    match names.len() {
        1 => format!("the namespace {}", listed(names.iter().copied())),
        _ => format!("the namespaces {}", listed(names.iter().copied())),
    }
}

fn is(kinds: &[&str]) -> String {
    let verb = if kinds.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", listed(kinds.iter().copied()))
}

/// `a, b and c`.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{super::connect::FORBIDDEN, super::standing::Watch, *};
    use crate::fault::Fault;

    fn refused() -> Watch {
        Watch {
            lost: Some((Fault::new(FORBIDDEN, ""), Instant::now())),
            ..Watch::default()
        }
    }

    fn seen() -> Watch {
        Watch {
            synced: true,
            ..Watch::default()
        }
    }

    fn kind(namespaces: &[&str]) -> KindWatch {
        let mut kind = KindWatch::default();
        kind.note_whole(&refused());
        kind.singly = Some(BTreeMap::new());
        for namespace in namespaces {
            kind.note_single(namespace, &seen());
        }
        kind
    }

    #[test]
    fn nothing_is_told_where_everything_is_seen() {
        let mut all = KindWatch::default();
        all.note_whole(&seen());
        assert_eq!(unseen(&[("Service".into(), all)].into(), 0, &[]), Vec::<String>::new());
    }

    #[test]
    fn namespaces_kinds_and_bounds_are_named() {
        let map = KindWatch {
            whole: refused(),
            ..KindWatch::default()
        };
        let watches = [
            ("ConfigMap in mesh", map),
            ("Gateway", kind(&[])),
            ("Pod", kind(&["a", "b"])),
            ("Service", kind(&["a", "b"])),
            ("Sidecar", kind(&["a"])),
            ("Telemetry", kind(&[])),
        ];
        let watches = BTreeMap::from(watches.map(|(name, kind)| (name.to_string(), kind)));
        let told = unseen(&watches, 2, &["mesh".into()]);
        assert!(
            told[0].starts_with("Only what is in the namespaces a and b is visible: "),
            "{told:?}"
        );
        assert_eq!(told[1], "Sidecar is visible only in a.");
        assert!(
            told[2].starts_with("2 more namespaces may be visible: at most 30"),
            "{told:?}"
        );
        assert!(told[3].starts_with("The ConfigMaps in mesh are not visible: the mesh's outbound mode"));
        assert_eq!(told[4..], ["Gateway is visible nowhere."]);
        // Where some kinds are seen everywhere, it is said which are not.
        let mut watches = watches;
        watches.get_mut("Pod").unwrap().note_whole(&seen());
        assert!(unseen(&watches, 0, &[])[0].starts_with("Of Service: Only what is in"));
        for kind in watches.values_mut() {
            kind.note_whole(&seen());
        }
        assert_eq!(
            unseen(&watches, 2, &[]),
            Vec::<String>::new(),
            "no namespace is followed singly any more"
        );
    }
}
