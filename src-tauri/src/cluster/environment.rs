//! The variables that a workload's container would be started with, as the kubelet puts them together: what its ConfigMaps
//! say, what it is to know of its own pod, and its Secrets only where a person wants these too. They go to the command that
//! asked for them, never to a window, a log or a disk.

mod volumes;
mod written;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Pod, PodTemplateSpec, Secret},
};
use kube::{Api, Client};
use proxy_core::{model::WorkloadName, sandbox::Mounted};
pub use written::environment_in;

use super::{
    Cluster,
    connect::{MISSING, told},
    logs::SIDECAR,
    rights::Feature,
};
use crate::fault::{Fault, Result};

/// By which kubectl chooses the container of a pod.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// What this computer's own programs are found and loaded by: those of the image would not be here.
const OF_THE_IMAGE: [&str; 4] = ["PATH", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD"];
/// The address that processes of the sandbox have.
const SANDBOX_ADDRESS: &str = "192.0.0.2";

/// Whose variables, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub namespace: String,
    pub workload: WorkloadName,
    /// Those that come from Secrets too.
    pub secrets: bool,
}

/// Variables of a container.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    pub variables: BTreeMap<String, String>,
    /// Files that its ConfigMaps and Secrets are mounted as.
    pub files: Vec<Mounted>,
    /// What was left out, in words; no values.
    pub left_out: Vec<String>,
}

/// ConfigMaps or Secrets by name; `None` where there is none of that name.
type Maps = BTreeMap<String, Option<Data>>;
/// What one holds, by key.
type Data = BTreeMap<String, Vec<u8>>;

impl Cluster {
    /// The variables that the workload's container is started with.
    pub fn environment(&self, wanted: &Wanted) -> Result<Environment> {
        let (client, own) = (self.client.clone(), wanted.clone());
        let found = self.call(async move { environment(&client, &own).await });
        found.map_err(|fault| {
            let needed = [Feature::SeeEnvironment, Feature::SeeSecrets];
            let needed = needed.into_iter().take(if wanted.secrets { 2 } else { 1 });
            let mut missing = needed.filter_map(|feature| self.require(feature, &wanted.namespace).err());
            missing.next().unwrap_or(fault)
        })
    }
}

async fn environment(client: &Client, wanted: &Wanted) -> Result<Environment> {
    let (name, template) = template(client, wanted).await?;
    let container = container(&template).ok_or_else(|| Fault::new("container", "Its pods have no container."))?;
    let (mut maps, mut secrets) = named(container);
    volumes::named(container, &template, &mut maps, &mut secrets);
    let mut config = Maps::new();
    for name in maps {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &wanted.namespace);
        let map = api.get_opt(&name).await.map_err(|error| told(&error))?;
        config.insert(name, config_of(map));
    }
    let mut secret = Maps::new();
    for name in secrets.into_iter().filter(|_| wanted.secrets) {
        let api: Api<Secret> = Api::namespaced(client.clone(), &wanted.namespace);
        let map = api.get_opt(&name).await.map_err(|error| told(&error))?;
        secret.insert(name, secret_of(map));
    }
    let secrets = wanted.secrets.then_some(&secret);
    Ok(of_container(container, &name, wanted, &template, &config, secrets))
}

/// What is written in a ConfigMap.
fn config_of(map: Option<ConfigMap>) -> Option<Data> {
    let map = map?;
    let texts = map.data.unwrap_or_default().into_iter();
    let texts = texts.map(|(key, value)| (key, value.into_bytes()));
    let others = map.binary_data.unwrap_or_default().into_iter();
    Some(texts.chain(others.map(|(key, value)| (key, value.0))).collect())
}

/// What is in a Secret; one that is written down may have it in both fields, of which the API server lets the second one win.
fn secret_of(secret: Option<Secret>) -> Option<Data> {
    let secret = secret?;
    let own = secret.data.unwrap_or_default().into_iter();
    let own = own.map(|(key, value)| (key, value.0));
    let written = secret.string_data.unwrap_or_default().into_iter();
    Some(
        own.chain(written.map(|(key, value)| (key, value.into_bytes())))
            .collect(),
    )
}

/// A value as a variable has it.
fn text(value: &[u8]) -> Option<String> {
    String::from_utf8(value.to_vec()).ok()
}

/// The variables of a container of the workload called `name`.
fn of_container(
    container: &Container,
    name: &str,
    wanted: &Wanted,
    template: &PodTemplateSpec,
    maps: &Maps,
    secrets: Option<&Maps>,
) -> Environment {
    let pod = OfPod {
        name: format!("{name}-sandbox"),
        namespace: wanted.namespace.clone(),
        template,
    };
    let mut made = gathered(container, &pod, maps, secrets);
    volumes::mount(&mut made, container, template, maps, secrets);
    made
}

/// The workload's own name and what its pods are made from.
async fn template(client: &Client, wanted: &Wanted) -> Result<(String, PodTemplateSpec)> {
    let (namespace, name) = (&wanted.namespace, wanted.workload.name());
    macro_rules! of {
        ($kind:ty, $word:literal, $template:expr) => {
            if wanted.workload.may_be($word) {
                let api: Api<$kind> = Api::namespaced(client.clone(), namespace);
                if let Some(object) = api.get_opt(name).await.map_err(|error| told(&error))? {
                    return Ok((name.to_string(), $template(object)));
                }
            }
        };
    }
    of!(Deployment, "Deployment", |object: Deployment| object
        .spec
        .unwrap_or_default()
        .template);
    of!(StatefulSet, "StatefulSet", |object: StatefulSet| object
        .spec
        .unwrap_or_default()
        .template);
    of!(DaemonSet, "DaemonSet", |object: DaemonSet| object
        .spec
        .unwrap_or_default()
        .template);
    of!(Pod, "Pod", |object: Pod| PodTemplateSpec {
        metadata: Some(object.metadata),
        spec: object.spec,
    });
    let missing = format!("There is no workload {} in {namespace}.", wanted.workload);
    Err(Fault::new(MISSING, missing))
}

fn container(template: &PodTemplateSpec) -> Option<&Container> {
    let annotations = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.annotations.as_ref());
    let chosen = annotations.and_then(|all| all.get(DEFAULT_CONTAINER));
    let all = &template.spec.as_ref()?.containers;
    let named = all.iter().find(|container| Some(&container.name) == chosen);
    named.or_else(|| all.iter().find(|container| container.name != SIDECAR))
}

/// Names of the ConfigMaps and of the Secrets that variables come from.
fn named(container: &Container) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for source in container.env_from.iter().flatten() {
        maps.extend(source.config_map_ref.iter().map(|map| map.name.clone()));
        secrets.extend(source.secret_ref.iter().map(|map| map.name.clone()));
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|each| each.value_from.as_ref())
    {
        maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
    }
    for names in [&mut maps, &mut secrets] {
        names.sort();
        names.dedup();
    }
    (maps, secrets)
}

/// What a variable can say of its pod.
struct OfPod<'t> {
    name: String,
    namespace: String,
    template: &'t PodTemplateSpec,
}

/// All of them, the later ones over the earlier, as the kubelet makes them. `secrets` is none where nobody wants these.
fn gathered(container: &Container, pod: &OfPod<'_>, maps: &Maps, secrets: Option<&Maps>) -> Environment {
    let mut made = Environment::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (kind, name, all) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => ("ConfigMap", &map.name, Some(maps)),
            (None, Some(secret)) => ("Secret", &secret.name, secrets),
            (None, None) => continue,
        };
        match all.map(|all| all.get(name).and_then(Option::as_ref)) {
            Some(Some(map)) => map
                .iter()
                .filter_map(|(key, value)| Some((key, text(value)?)))
                .for_each(|(key, value)| made.set(&format!("{prefix}{key}"), value)),
            Some(None) => made.left_out.push(format!("all of {kind} {name}, which is not there")),
            None => made
                .left_out
                .push(format!("all of {kind} {name}: Secrets were not asked for")),
        }
    }
    for EnvVar {
        name,
        value,
        value_from,
    } in container.env.iter().flatten()
    {
        match (value, value_from) {
            (_, Some(source)) => match valued(source, pod, maps, secrets) {
                Ok(Some(value)) => made.set(name, value),
                Ok(None) => {}
                Err(why) => made.left_out.push(format!("{name}: {why}")),
            },
            (value, None) => {
                let value = expanded(value.as_deref().unwrap_or_default(), &made.variables);
                made.set(name, value);
            }
        }
    }
    made
}

/// A variable's value from elsewhere; none where it is optional and not there.
fn valued(
    source: &EnvVarSource,
    pod: &OfPod<'_>,
    maps: &Maps,
    secrets: Option<&Maps>,
) -> Result<Option<String>, String> {
    let from = |kind: &str, all: &Maps, name: &str, key: &str, optional: Option<bool>| {
        let value = all
            .get(name)
            .and_then(|map| map.as_ref()?.get(key).and_then(|value| text(value)));
        match value {
            None if optional != Some(true) => Err(format!("{kind} {name} has no key {key} that is text")),
            value => Ok(value),
        }
    };
    if let Some(key) = &source.config_map_key_ref {
        return from("ConfigMap", maps, &key.name, &key.key, key.optional);
    }
    if let Some(key) = &source.secret_key_ref {
        let all = secrets.ok_or_else(|| format!("Secret {}: Secrets were not asked for", key.name))?;
        return from("Secret", all, &key.name, &key.key, key.optional);
    }
    match &source.field_ref {
        Some(field) => pod.field(&field.field_path).map(Some),
        None => Err("it is known only where the pod runs".into()),
    }
}

impl OfPod<'_> {
    /// What the pod's own field would say; of a pod that is none, a value that it could have.
    fn field(&self, path: &str) -> Result<String, String> {
        let metadata = self.template.metadata.clone().unwrap_or_default();
        let key = |all: Option<BTreeMap<String, String>>, prefix: &str| {
            let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
            Some(all.unwrap_or_default().get(key).cloned().unwrap_or_default())
        };
        let account = self
            .template
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.clone());
        match path {
            "metadata.name" => Ok(self.name.clone()),
            "metadata.namespace" => Ok(self.namespace.clone()),
            "spec.serviceAccountName" => Ok(account.unwrap_or_else(|| "default".into())),
            "status.podIP" | "status.podIPs" => Ok(SANDBOX_ADDRESS.into()),
            _ => key(metadata.labels, "metadata.labels['")
                .or_else(|| key(metadata.annotations, "metadata.annotations['"))
                .ok_or_else(|| format!("{path} is known only where the pod runs")),
        }
    }
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        // A NUL ends a variable for the system.
        if OF_THE_IMAGE.contains(&name) || name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            self.left_out.push(format!(
                "{name}: it is for the image's own programs, or no variable of this system"
            ));
        } else {
            self.variables.insert(name.to_string(), value);
        }
    }
}

/// `$(NAME)` stands for an earlier variable, and `$$` for a dollar sign (Kubernetes: dependent environment variables).
fn expanded(text: &str, variables: &BTreeMap<String, String>) -> String {
    let (mut made, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        made.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some(escaped) = after.strip_prefix('$') {
            made.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = named {
            match variables.get(name) {
                Some(value) => made.push_str(value),
                None => made.push_str(&rest[at..rest.len() - behind.len()]),
            }
            rest = behind;
        } else {
            made.push('$');
            rest = after;
        }
    }
    made + rest
}

#[cfg(test)]
mod tests;
