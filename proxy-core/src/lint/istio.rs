//! The codes of `istioctl analyze` that `check` uses, each with the level that Istio gives it
//! (`pkg/config/analysis/msg/messages.yaml`). Where Istio says error about an object that it takes nevertheless, `check`
//! says warning: error means here that the object would not be taken.

use super::Level;

const CODES: [(&str, Level); 24] = [
    ("IST0101", Level::Error),
    ("IST0106", Level::Error),
    ("IST0107", Level::Warning),
    ("IST0108", Level::Warning),
    ("IST0109", Level::Error),
    ("IST0110", Level::Error),
    ("IST0111", Level::Error),
    ("IST0112", Level::Error),
    ("IST0118", Level::Info),
    ("IST0125", Level::Warning),
    ("IST0128", Level::Warning),
    ("IST0129", Level::Warning),
    ("IST0130", Level::Warning),
    ("IST0131", Level::Info),
    ("IST0132", Level::Warning),
    ("IST0133", Level::Warning),
    ("IST0134", Level::Warning),
    ("IST0135", Level::Info),
    ("IST0140", Level::Warning),
    ("IST0150", Level::Warning),
    ("IST0165", Level::Warning),
    ("IST0173", Level::Error),
    ("IST0174", Level::Warning),
    ("IST0177", Level::Warning),
];

/// The level that `istioctl analyze` gives `code`; `None` for rules of our own.
pub(super) fn level(code: &str) -> Option<Level> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, level)| *level)
}
