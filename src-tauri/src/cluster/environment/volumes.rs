//! The files that ConfigMaps and Secrets are mounted as, as the kubelet puts them there.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodTemplateSpec, Volume, VolumeMount};
use proxy_core::sandbox::{Contents, Mounted};

use super::{Data, Environment, Maps};

/// Part of a volume: what of which map.
struct Part<'v> {
    kind: &'static str,
    name: &'v str,
    /// Keys with the names of their files; without any, all keys under their own names.
    items: Option<&'v [KeyToPath]>,
    optional: bool,
}

/// The volume that is mounted, with its parts.
fn volume<'v>(mount: &VolumeMount, template: &'v PodTemplateSpec) -> Option<&'v Volume> {
    let volumes = template.spec.as_ref()?.volumes.as_ref()?;
    volumes.iter().find(|volume| volume.name == mount.name)
}

/// Nothing where the volume is something else than ConfigMaps and Secrets.
fn parts(volume: &Volume) -> Vec<Part<'_>> {
    let config = |name, items, optional: Option<bool>| Part {
        kind: "ConfigMap",
        name,
        items,
        optional: optional == Some(true),
    };
    let secret = |name, items, optional: Option<bool>| Part {
        kind: "Secret",
        name,
        items,
        optional: optional == Some(true),
    };
    let mut parts = Vec::new();
    if let Some(source) = &volume.config_map {
        parts.push(config(&source.name, source.items.as_deref(), source.optional));
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        parts.push(secret(name, source.items.as_deref(), source.optional));
    }
    let projected = volume
        .projected
        .iter()
        .flat_map(|volume| volume.sources.iter().flatten());
    for source in projected {
        if let Some(source) = &source.config_map {
            parts.push(config(&source.name, source.items.as_deref(), source.optional));
        }
        if let Some(source) = &source.secret {
            parts.push(secret(&source.name, source.items.as_deref(), source.optional));
        }
    }
    parts
}

/// Adds the names of the ConfigMaps and Secrets that are mounted.
pub fn named(container: &Container, template: &PodTemplateSpec, maps: &mut Vec<String>, secrets: &mut Vec<String>) {
    let volumes = container.volume_mounts.iter().flatten();
    for part in volumes.filter_map(|mount| volume(mount, template)).flat_map(parts) {
        let names = if part.kind == "Secret" {
            &mut *secrets
        } else {
            &mut *maps
        };
        names.push(part.name.to_string());
    }
    for names in [maps, secrets] {
        names.sort();
        names.dedup();
    }
}

/// Puts the container's mounts into `made`; `secrets` is none where nobody wants these.
pub fn mount(
    made: &mut Environment,
    container: &Container,
    template: &PodTemplateSpec,
    maps: &Maps,
    secrets: Option<&Maps>,
) {
    for mount in container.volume_mounts.iter().flatten() {
        match mounted(mount, template, maps, secrets) {
            Ok(contents) => made.files.push(Mounted {
                path: mount.mount_path.clone().into(),
                contents,
            }),
            Err(why) => made.left_out.push(format!("{}: {why}", mount.mount_path)),
        }
    }
}

fn mounted(
    mount: &VolumeMount,
    template: &PodTemplateSpec,
    maps: &Maps,
    secrets: Option<&Maps>,
) -> Result<Contents, String> {
    let parts = volume(mount, template).map(parts).unwrap_or_default();
    if parts.is_empty() {
        return Err(format!("volume {} is neither ConfigMap nor Secret", mount.name));
    }
    let mut files = Data::new();
    for part in parts {
        let all = match part.kind {
            "Secret" => secrets.ok_or_else(|| format!("Secret {}: Secrets were not asked for", part.name))?,
            _ => maps,
        };
        files.extend(part.files(all)?);
    }
    match (&mount.sub_path, &mount.sub_path_expr) {
        (_, Some(_)) => Err("its subPathExpr is known only where the pod runs".into()),
        (Some(sub), None) if !sub.is_empty() => below(files, sub),
        _ => Ok(Contents::Folder(files)),
    }
}

/// One file of a volume, or one folder of it.
fn below(mut files: Data, sub: &str) -> Result<Contents, String> {
    if let Some(file) = files.remove(sub) {
        return Ok(Contents::File(file));
    }
    let prefix = format!("{}/", sub.trim_end_matches('/'));
    let inner: BTreeMap<_, _> = files
        .into_iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(&prefix)?.to_string(), bytes)))
        .collect();
    match inner.is_empty() {
        true => Err(format!("its volume has no {sub}")),
        false => Ok(Contents::Folder(inner)),
    }
}

impl Part<'_> {
    fn files(&self, all: &Maps) -> Result<Data, String> {
        let (kind, name) = (self.kind, self.name);
        let Some(data) = all.get(name).and_then(Option::as_ref) else {
            let missing = || format!("{kind} {name} is not there");
            return self.optional.then(Data::new).ok_or_else(missing);
        };
        let Some(items) = self.items.filter(|items| !items.is_empty()) else {
            return Ok(data.clone());
        };
        let mut files = Data::new();
        for item in items {
            match data.get(&item.key) {
                Some(bytes) => _ = files.insert(item.path.clone(), bytes.clone()),
                None if self.optional => {}
                None => return Err(format!("{kind} {name} has no key {}", item.key)),
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn made(mounts: Value, volumes: Value, secrets: bool) -> Environment {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "spec": {"volumes": volumes, "containers": [{"name": "app", "volumeMounts": mounts}]}}))
        .unwrap();
        let container = &template.spec.as_ref().unwrap().containers[0];
        let map = |name: &str, pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| (key.to_string(), value.as_bytes().to_vec()));
            (name.to_string(), Some(pairs.collect()))
        };
        let maps = [map("settings", &[("a.yaml", "a"), ("b.yaml", "b")])].into();
        let kept = [map("db", &[("password", "s3cret")])].into();
        let mut made = Environment::default();
        mount(&mut made, container, &template, &maps, secrets.then_some(&kept));
        made
    }

    fn folder(files: &[(&str, &str)]) -> Contents {
        let files = files
            .iter()
            .map(|(name, text)| (name.to_string(), text.as_bytes().to_vec()));
        Contents::Folder(files.collect())
    }

    #[test]
    fn files_are_put_where_the_kubelet_puts_them() {
        let made = made(
            json!([
                {"name": "all", "mountPath": "/etc/app"},
                {"name": "some", "mountPath": "/config"},
                {"name": "all", "mountPath": "/app/a.yaml", "subPath": "a.yaml"},
                {"name": "both", "mountPath": "/both"},
                {"name": "scratch", "mountPath": "/scratch"},
                {"name": "gone", "mountPath": "/gone"}]),
            json!([
                {"name": "all", "configMap": {"name": "settings"}},
                {"name": "some", "configMap": {"name": "settings", "items": [{"key": "b.yaml", "path": "x/y"}]}},
                {"name": "both", "projected": {"sources": [
                    {"configMap": {"name": "settings"}}, {"secret": {"name": "db"}}]}},
                {"name": "scratch", "emptyDir": {}},
                {"name": "gone", "configMap": {"name": "none"}}]),
            true,
        );
        let places: Vec<_> = made
            .files
            .iter()
            .map(|each| (each.path.to_str().unwrap(), &each.contents))
            .collect();
        assert_eq!(
            places,
            [
                ("/etc/app", &folder(&[("a.yaml", "a"), ("b.yaml", "b")])),
                ("/config", &folder(&[("x/y", "b")])),
                ("/app/a.yaml", &Contents::File(b"a".to_vec())),
                (
                    "/both",
                    &folder(&[("a.yaml", "a"), ("b.yaml", "b"), ("password", "s3cret")])
                ),
            ]
        );
        assert_eq!(
            made.left_out,
            [
                "/scratch: volume scratch is neither ConfigMap nor Secret",
                "/gone: ConfigMap none is not there"
            ]
        );
    }

    #[test]
    fn a_secrets_files_are_mounted_only_where_they_are_wanted() {
        let mounts = json!([{"name": "db", "mountPath": "/etc/db"}]);
        let volumes = json!([{"name": "db", "secret": {"secretName": "db"}}]);
        let without = made(mounts.clone(), volumes.clone(), false);
        assert_eq!((without.files.len(), without.left_out.len()), (0, 1));
        assert_eq!(
            made(mounts, volumes, true).files[0].contents,
            folder(&[("password", "s3cret")])
        );
    }
}
