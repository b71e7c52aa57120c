//! The codes of `istioctl analyze` that `check` uses, each with the level that Istio gives it
//! (`pkg/config/analysis/msg/messages.yaml`) and the minor version that has it first, 0 for the oldest. Where Istio says
//! error about an object that it takes nevertheless, `check` says warning: error means here that the object would not be
//! taken.

use super::{
    Finding, Level,
    finding::{REJECTED, WARNED},
};
use crate::{
    model::{IstioVersion, Labels},
    policy::OF_KUBERNETES,
};

/// What Istio's validation says, of objects of any namespace.
const OF_VALIDATION: [&str; 4] = [REJECTED, "IST0130", "IST0131", WARNED];

const CODES: [(&str, Level, u8); 29] = [
    ("IST0101", Level::Error, 0),
    ("IST0102", Level::Info, 0),
    ("IST0103", Level::Warning, 0),
    ("IST0106", Level::Error, 0),
    ("IST0107", Level::Warning, 0),
    ("IST0108", Level::Warning, 0),
    ("IST0109", Level::Error, 0),
    ("IST0110", Level::Error, 0),
    ("IST0111", Level::Error, 0),
    ("IST0112", Level::Error, 0),
    ("IST0118", Level::Info, 0),
    ("IST0123", Level::Warning, 6),
    ("IST0125", Level::Warning, 0),
    ("IST0128", Level::Warning, 6),
    ("IST0129", Level::Warning, 6),
    ("IST0130", Level::Warning, 0),
    ("IST0131", Level::Info, 0),
    ("IST0132", Level::Warning, 0),
    ("IST0133", Level::Warning, 0),
    ("IST0134", Level::Warning, 9),
    ("IST0135", Level::Info, 9),
    ("IST0140", Level::Warning, 0),
    ("IST0144", Level::Warning, 12),
    ("IST0150", Level::Warning, 13),
    ("IST0165", Level::Warning, 0),
    ("IST0167", Level::Warning, 22),
    ("IST0173", Level::Error, 24),
    ("IST0174", Level::Warning, 24),
    ("IST0177", Level::Warning, 31),
];

/// The level that `istioctl analyze` gives `code`; `None` for rules of our own.
pub(super) fn level(code: &str) -> Option<Level> {
    CODES
        .iter()
        .find(|(known, ..)| *known == code)
        .map(|(_, level, _)| *level)
}

/// True where the analyzer of `version` has `code`; rules of our own hold for all.
pub(super) fn known(code: &str, version: IstioVersion) -> bool {
    let since = CODES.iter().find(|(known, ..)| *known == code);
    since.is_none_or(|(.., minor)| version >= IstioVersion::minor(*minor))
}

/// Labels of the control plane's own objects, about which its analyzer keeps silent (`util.IsIstioControlPlane`).
pub(super) fn is_control_plane(labels: &Labels) -> bool {
    labels.contains_key("istio") || labels.get("release").is_some_and(|release| release == "istio")
}

/// Istio's analyzer looks at nothing in Kubernetes' own namespaces (`IstiodAnalyzer.addReaderKubeSourceInternal`).
pub(super) fn overlooks(finding: &Finding) -> bool {
    let is_theirs = finding.object.as_ref().is_some_and(|object| {
        let namespace = match object.kind.as_str() {
            "Namespace" => &object.name,
            _ => &object.namespace,
        };
        OF_KUBERNETES.contains(&namespace.as_str())
    });
    is_theirs && level(finding.code).is_some() && !OF_VALIDATION.contains(&finding.code)
}
