//! An object that was deleted is made anew: with the finalizers that it had, and under those of its owners that are still
//! there. An owner is known by its uid; under one that is gone the garbage collector would delete the object at once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client,
    core::{DynamicObject, GroupVersionKind},
    discovery::{Scope, pinned_kind},
};
use serde_json::{Value, json};

use super::write::MANAGER;

/// What of the metadata is taken only where an object is made: of one that is there it is its controllers'.
const HEADS: [(&str, &str); 2] = [("finalizers", "f:finalizers"), ("ownerReferences", "f:ownerReferences")];

/// What deleting `live` leaves for a while, and what undoing that may leave out.
pub(super) fn warnings(object: &str, live: &DynamicObject) -> Vec<String> {
    let owners = live.metadata.owner_references.iter().flatten();
    let mut told: Vec<String> = owners
        .map(|owner| {
            format!(
                "Undoing makes {object} anew, under its owner {} {} only if that is still there then.",
                owner.kind, owner.name
            )
        })
        .collect();
    told.extend(waits(object, live));
    told
}

/// What keeps an object that is, or would be, deleted.
pub(super) fn waits(object: &str, live: &DynamicObject) -> Option<String> {
    let finalizers = live.metadata.finalizers.as_deref().unwrap_or_default();
    (!finalizers.is_empty()).then(|| {
        format!(
            "{object} stays, and in force, after it is deleted, until who set its finalizers lets it go: {}.",
            finalizers.join(", ")
        )
    })
}

/// Takes out of what is `wanted` of `live` what its controllers have set, so that Egret does not become its owner too. What
/// Egret has set when it made the object anew stays in: an apply without it would take it away.
pub(super) fn without_theirs(wanted: &mut serde_json::Map<String, Value>, live: &DynamicObject) {
    let has = json!(live.metadata);
    for (key, field) in HEADS {
        if wanted.get(key).is_some_and(|value| *value == has[key]) && !is_applied_by_us(live, field) {
            wanted.remove(key);
        }
    }
}

fn is_applied_by_us(live: &DynamicObject, field: &str) -> bool {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    entries.any(|entry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| !fields.0["f:metadata"][field].is_null())
    })
}

/// Leaves the owners out that are gone, or that cannot be looked up, and says which.
pub(super) async fn under_living_owners(client: &Client, object: &str, wanted: &mut Value) -> Vec<String> {
    let namespace = wanted["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
    let metadata = wanted["metadata"].as_object_mut();
    let Some(owners) = metadata.and_then(|metadata| metadata.remove("ownerReferences")) else {
        return Vec::new();
    };
    let (mut kept, mut told) = (Vec::new(), Vec::new());
    for owner in owners.as_array().into_iter().flatten() {
        let (name, why) = match serde_json::from_value::<OwnerReference>(owner.clone()) {
            Ok(owner) => match is_there(client, &namespace, &owner).await {
                Ok(true) => (None, ""),
                Ok(false) => (Some(owner), "which is gone"),
                Err(_) => (Some(owner), "which cannot be looked up"),
            },
            Err(_) => continue,
        };
        match name {
            None => kept.push(owner.clone()),
            Some(owner) => told.push(format!(
                "{object} is made without its owner {} {}, {why}.",
                owner.kind, owner.name
            )),
        }
    }
    if !kept.is_empty() {
        wanted["metadata"]["ownerReferences"] = Value::Array(kept);
    }
    told
}

/// True where the very object is there that was the owner, and not only one of its name.
async fn is_there(client: &Client, namespace: &str, owner: &OwnerReference) -> kube::Result<bool> {
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    let kind = GroupVersionKind::gvk(group, version, &owner.kind);
    let (resource, served) = pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match served.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let found = api.get_opt(&owner.name).await?;
    Ok(found.is_some_and(|found| found.metadata.uid.as_deref() == Some(&owner.uid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(manager: &str, operation: &str) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "a", "finalizers": ["x/y"], "managedFields": [
            {"manager": manager, "operation": operation, "fieldsV1": {"f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}}}}]}}))
        .unwrap()
    }

    #[test]
    fn what_a_controller_set_is_not_applied_by_egret_and_what_egret_applied_is_applied_again() {
        for (live, finalizers, stays) in [
            (live("controller", "Update"), json!(["x/y"]), false),
            (live(MANAGER, "Update"), json!(["x/y"]), false),
            (live(MANAGER, "Apply"), json!(["x/y"]), true),
            (live("controller", "Update"), json!(["x/y", "mine"]), true),
        ] {
            let mut wanted = json!({"finalizers": finalizers, "name": "a"});
            let wanted = wanted.as_object_mut().unwrap();
            without_theirs(wanted, &live);
            assert_eq!(wanted.contains_key("finalizers"), stays, "{live:?}");
            assert!(wanted.contains_key("name"));
        }
    }
}
