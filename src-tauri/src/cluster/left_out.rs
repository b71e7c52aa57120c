//! Labels and annotations that a person leaves out of an object. A server-side apply takes away only those that Egret set:
//! one that another tool set would stay, without a word.

use kube::core::ObjectMeta;
use serde_json::Value;

use super::kinds::UNSHOWN;

/// Takes the labels and annotations out of `metadata` that `live` has and `wanted` has no longer. Those that are not shown
/// were left out by nobody.
pub(super) fn leave_out(metadata: &mut ObjectMeta, live: &ObjectMeta, wanted: &Value) {
    for (all, had, field) in [
        (&mut metadata.labels, &live.labels, "labels"),
        (&mut metadata.annotations, &live.annotations, "annotations"),
    ] {
        let is_left_out = |key: &str| {
            let was_shown = had.as_ref().is_some_and(|had| had.contains_key(key)) && !UNSHOWN.contains(&key);
            was_shown && wanted["metadata"][field][key].is_null()
        };
        if let Some(all) = all {
            all.retain(|key, _| !is_left_out(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(metadata: Value) -> ObjectMeta {
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn only_what_was_shown_and_is_there_no_longer_is_left_out() {
        let kubectl = "kubectl.kubernetes.io/last-applied-configuration";
        let live =
            metadata(json!({"labels": {"team": "a", "stays": "b"}, "annotations": {"note": "c", kubectl: "{}"}}));
        // A webhook adds to what is tried.
        let mut tried = metadata(json!({"labels": {"team": "a", "stays": "b", "hooked": "d"},
            "annotations": {"note": "c", kubectl: "{}"}}));
        let wanted = json!({"metadata": {"labels": {"stays": "b"}}});
        leave_out(&mut tried, &live, &wanted);
        assert_eq!(
            tried,
            metadata(json!({"labels": {"stays": "b", "hooked": "d"}, "annotations": {kubectl: "{}"}}))
        );
        let before = tried.clone();
        leave_out(&mut tried, &metadata(json!({})), &json!({"metadata": {}}));
        assert_eq!(tried, before, "what another hand adds meanwhile was left out by nobody");
    }
}
