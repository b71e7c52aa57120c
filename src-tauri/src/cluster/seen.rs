//! An object as the watches see it. Most of what an API server sends is of no use here, first of all who manages which
//! field, which is often longer than the object: it is passed over while it is read, not built up and thrown away.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use kube::{
    Resource,
    core::{ApiResource, DynamicObject},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// An object without its managed fields. It knows no kind: whoever asked does.
#[derive(Debug, Clone)]
pub(super) struct Seen(pub DynamicObject);

/// What is kept of the metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SeenVisitor)
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let (mut head, mut data) = (None, Map::new());
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "apiVersion" | "kind" => {
                    map.next_value::<IgnoredAny>()?;
                }
                "metadata" => head = Some(map.next_value::<Head>()?),
                _ => {
                    data.insert(key.into_owned(), map.next_value()?);
                }
            }
        }
        let head = head.ok_or_else(|| de::Error::missing_field("metadata"))?;
        let metadata = ObjectMeta {
            name: head.name,
            namespace: head.namespace,
            uid: head.uid,
            resource_version: head.resource_version,
            creation_timestamp: head.creation_timestamp,
            deletion_timestamp: head.deletion_timestamp,
            labels: head.labels,
            annotations: head.annotations,
            owner_references: head.owner_references,
            finalizers: head.finalizers,
            ..ObjectMeta::default()
        };
        Ok(Seen(DynamicObject {
            types: None,
            metadata,
            data: Value::Object(data),
        }))
    }
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = <DynamicObject as Resource>::Scope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(resource)
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::api_version(resource)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::kinds;

    #[test]
    fn what_is_passed_over_changes_nothing_of_what_is_mirrored() {
        let text = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 2,
                "labels": {"l": "1"}, "annotations": {"n": "2"}, "creationTimestamp": "2026-11-28T07:00:00Z",
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "o", "controller": true}],
                "finalizers": ["x/y"],
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:hosts": {}}}}]},
            "spec": {"hosts": ["a.com"]}, "status": {"x": 1},
        })
        .to_string();
        let Seen(seen) = serde_json::from_str(&text).unwrap();
        let whole: DynamicObject = serde_json::from_str(&text).unwrap();
        assert_eq!(seen.metadata.managed_fields, None);
        assert_eq!(seen.data, whole.data);
        assert_eq!(seen.metadata.owner_references, whole.metadata.owner_references);
        let resource = ApiResource {
            group: "networking.istio.io".into(),
            version: "v1".into(),
            api_version: "networking.istio.io/v1".into(),
            kind: "ServiceEntry".into(),
            plural: "serviceentries".into(),
        };
        assert_eq!(kinds::render(&seen, &resource), kinds::render(&whole, &resource));
        assert!(serde_json::from_str::<Seen>("{\"kind\": \"x\"}").is_err());
        // What ends a beginning: nothing but a version.
        let bookmark = r#"{"kind": "x", "metadata": {"resourceVersion": "9", "creationTimestamp": null}}"#;
        let Seen(seen) = serde_json::from_str(bookmark).unwrap();
        assert_eq!(seen.metadata.resource_version.as_deref(), Some("9"));
    }
}
