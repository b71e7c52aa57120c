//! The variables and files of a workload that is written in a folder of manifests.

use std::{collections::BTreeMap, fs, path::Path};

use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Secret};
use proxy_core::{source::manifests, yaml};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Data, Environment, Maps, Wanted, config_of, container, of_container, secret_of};
use crate::{
    cluster::connect::MISSING,
    fault::{Fault, Result},
};

/// Objects as they are written, by kind and name, of one namespace.
struct Written(BTreeMap<(String, String), Value>);

/// The variables that the workload's container would be started with, by what `folder` says.
pub fn environment_in(folder: &Path, wanted: &Wanted) -> Result<Environment> {
    let written = Written::of(folder, &wanted.namespace).map_err(|error| Fault::file("read", folder, &error))?;
    let name = wanted.workload.name();
    let template = written.template(wanted)?;
    let container = container(&template).ok_or_else(|| Fault::new("container", "Its pods have no container."))?;
    let maps = written.maps("ConfigMap", |map: ConfigMap| config_of(Some(map)))?;
    let secrets = match wanted.secrets {
        true => Some(written.maps("Secret", |secret: Secret| secret_of(Some(secret)))?),
        false => None,
    };
    Ok(of_container(
        container,
        name,
        wanted,
        &template,
        &maps,
        secrets.as_ref(),
    ))
}

impl Written {
    fn of(folder: &Path, namespace: &str) -> std::io::Result<Self> {
        let mut all = BTreeMap::new();
        for file in manifests(folder)? {
            // One that cannot be read is told of where the policy is.
            let documents = fs::read(folder.join(file)).map(|text| yaml::read(&text).unwrap_or_default())?;
            for document in documents {
                let object = document.to_json();
                let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_string);
                let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else {
                    continue;
                };
                if text("/metadata/namespace").as_deref().unwrap_or("default") == namespace {
                    all.insert((kind, name), object);
                }
            }
        }
        Ok(Self(all))
    }

    fn template(&self, wanted: &Wanted) -> Result<PodTemplateSpec> {
        let name = wanted.workload.name();
        let kinds = ["Deployment", "StatefulSet", "DaemonSet", "Pod"];
        for kind in kinds.into_iter().filter(|kind| wanted.workload.may_be(kind)) {
            let Some(object) = self.0.get(&(kind.to_string(), name.to_string())) else {
                continue;
            };
            let template = match kind {
                // A pod has the two parts of a template.
                "Pod" => Some(object),
                _ => object.pointer("/spec/template"),
            };
            return read(kind, name, template.unwrap_or(&Value::Null));
        }
        let missing = format!("There is no workload {} in {}.", wanted.workload, wanted.namespace);
        Err(Fault::new(MISSING, missing))
    }

    fn maps<K: DeserializeOwned>(&self, kind: &str, data: impl Fn(K) -> Option<Data>) -> Result<Maps> {
        let own = self.0.iter().filter(|((own, _), _)| own == kind);
        own.map(|((_, name), object)| Ok((name.clone(), data(read(kind, name, object)?))))
            .collect()
    }
}

fn read<K: DeserializeOwned>(kind: &str, name: &str, object: &Value) -> Result<K> {
    serde_json::from_value(object.clone())
        .map_err(|error| Fault::new("object", format!("{kind} {name} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFESTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
      - name: app
        envFrom: [{configMapRef: {name: settings}}]
        env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
        - {name: TOKEN, valueFrom: {secretKeyRef: {name: db, key: token}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {COLOUR: green}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: of another namespace}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop}
data: {password: czNjcmV0}
stringData: {token: written}
";

    fn environment(name: &str, secrets: bool) -> Result<Environment> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
        let wanted = Wanted {
            namespace: "shop".into(),
            workload: name.parse().unwrap(),
            secrets,
        };
        environment_in(folder.path(), &wanted)
    }

    #[test]
    fn a_folders_workload_has_the_variables_of_its_own_namespace_and_secrets_only_where_they_are_wanted() {
        let without = environment("cart", false).unwrap();
        assert_eq!(without.variables, [("COLOUR".into(), "green".into())].into());
        assert_eq!(without.left_out.len(), 2, "{:?}", without.left_out);
        let with = environment("deploy/cart", true).unwrap();
        assert_eq!(
            (&*with.variables["PASSWORD"], &*with.variables["TOKEN"]),
            ("s3cret", "written")
        );
        assert_eq!(with.left_out, [""; 0]);
        assert_eq!(
            environment("sts/cart", false).err().map(|fault| fault.code).as_deref(),
            Some(MISSING)
        );
    }
}
