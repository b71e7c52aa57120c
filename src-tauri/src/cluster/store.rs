//! The cluster as a place where change sets are written.

use kube::core::{ApiResource, DynamicObject};
use proxy_core::yaml;

use super::{
    Cluster, Missing,
    follow::Sink as _,
    kinds::{self, object_of},
    owner::last_manager,
    words::shell_word,
    write::{Try, Writer, Written, template_patch},
};
use crate::{
    change::{CUT_SHORT, FileEdit, Prepared, Store, changed},
    fault::{Fault, Result},
};

impl Store for Cluster {
    fn name(&self) -> String {
        Self::journal_name(&self.context, &self.server)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let text = self
            .mirror
            .read(file)
            .map_err(|error| Fault::file("read", self.folder(), &error))?;
        Ok(text.map(|text| kinds::undated(&text).into_bytes()))
    }

    fn write_all(&self, edits: &[FileEdit]) -> Result<()> {
        if let Some(reason) = self.locked() {
            return Err(Fault::new("read-only", reason));
        }
        self.write_back(edits)
    }

    fn write_back(&self, edits: &[FileEdit]) -> Result<()> {
        for edit in edits {
            if self.read(&edit.file)? != edit.before {
                return Err(changed(&edit.file));
            }
        }
        for (index, edit) in edits.iter().enumerate() {
            if let Err(fault) = self.write_one(edit, Try::Real) {
                return Err(self.take_back(&edits[..index], edit, fault));
            }
        }
        Ok(())
    }

    fn command(&self, edit: &FileEdit) -> String {
        let Some((kind, namespace, name)) = object_of(&edit.file) else {
            return String::new();
        };
        // A context of the same name in the default file may lead elsewhere.
        let file = self.credentials.target().file();
        let file = file.map(|file| format!("KUBECONFIG={} ", shell_word(&file.to_string_lossy())));
        let to = format!(
            "{}kubectl --context {} --namespace {namespace}",
            file.unwrap_or_default(),
            shell_word(&self.context)
        );
        let Some(after) = &edit.after else {
            return format!("{to} delete {} {name}", kind.to_ascii_lowercase());
        };
        if matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet") {
            let read = |text: &[u8]| {
                yaml::read(text)
                    .unwrap_or_default()
                    .first()
                    .map(yaml::Node::to_json)
                    .unwrap_or_default()
            };
            let patch = template_patch(&read(edit.before.as_deref().unwrap_or_default()), &read(after));
            return format!(
                "{to} patch {} {name} --type merge --patch {}",
                kind.to_ascii_lowercase(),
                shell_word(&patch.to_string())
            );
        }
        let how = match kind {
            "ConfigMap" => format!("patch configmap {name} --type merge --patch-file /dev/stdin"),
            _ => "apply --server-side --field-manager egret --filename -".to_string(),
        };
        format!("{to} {how} <<'EGRET'\n{}EGRET", String::from_utf8_lossy(after))
    }

    fn locked(&self) -> Option<String> {
        let off = || {
            format!(
                "Editing of {} is switched off: switch it on at the foot of the rail.",
                self.context
            )
        };
        (!self.is_editing()).then(off)
    }

    fn missing(&self, edits: &[FileEdit]) -> Result<Option<Missing>> {
        self.lacks_for(edits)
    }

    fn prepare(&self, edits: Vec<FileEdit>) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        for edit in edits {
            let (after, warnings) = self.write_one(&edit, Try::Dry)?;
            prepared.files.push(FileEdit { after, ..edit });
            prepared.warnings.extend(warnings);
        }
        Ok(prepared)
    }

    fn changed_by(&self, file: &str) -> Option<String> {
        let (kind, namespace, name) = object_of(file)?;
        let writer = Writer::new(self.client.clone(), self.resource(kind).ok()?, namespace, name);
        // Without an answer the conflict is shown all the same.
        let live = self.call(async move { writer.read().await }).ok()??;
        last_manager(&live.metadata)
    }

    fn serves(&self, kind: &str) -> bool {
        self.resources.contains_key(kind)
    }

    fn file_of(&self, kind: &str, namespace: &str, name: &str) -> Option<String> {
        Some(kinds::file(kind, namespace, name))
    }
}

impl Cluster {
    /// What the journal calls the cluster that `context` leads to.
    pub fn journal_name(context: &str, server: &str) -> String {
        format!("cluster {context} {server}")
    }

    /// Writes one object and gives what is then stored. The mirror says so at once, before the watch does.
    fn write_one(&self, edit: &FileEdit, way: Try) -> Result<(Option<Vec<u8>>, Vec<String>)> {
        let (kind, namespace, name) =
            object_of(&edit.file).ok_or_else(|| Fault::input(format!("{:?} is no object of a cluster.", edit.file)))?;
        let resource = self.resource(kind)?.clone();
        let writer = Writer::new(self.client.clone(), &resource, namespace, name);
        let (own, edit) = (resource.clone(), edit.clone());
        let file = edit.file.clone();
        let Written { object, warnings } = self.call(async move {
            let live = writer.read().await?;
            if text_of(live.as_ref(), &own) != edit.before {
                return Err(changed(&edit.file));
            }
            match (&edit.after, &live) {
                (Some(text), live) => writer.put(live.as_ref(), &String::from_utf8_lossy(text), way).await,
                (None, Some(live)) => writer.delete(live, way).await,
                (None, None) => Ok(Written {
                    object: None,
                    warnings: Vec::new(),
                }),
            }
        })?;
        if way == Try::Real {
            let mirrored = match &object {
                Some(object) => self.mirror.put(object, &resource),
                None => self.mirror.remove(&file),
            };
            mirrored.map_err(|error| Fault::file("write", self.folder(), &error))?;
        }
        Ok((text_of(object.as_ref(), &resource), warnings))
    }

    pub(super) fn resource(&self, kind: &str) -> Result<&ApiResource> {
        self.resources.get(kind).ok_or_else(|| {
            Fault::new("no-kind", format!("This cluster does not serve {kind}.")).hint("A newer Istio does.")
        })
    }

    /// After a fault: the objects that were written already become what they were. `failed` may be among them: its answer
    /// may be what was lost.
    fn take_back(&self, written: &[FileEdit], failed: &FileEdit, fault: Fault) -> Fault {
        let revert = |edit: &FileEdit| self.write_one(&edit.reversed(), Try::Real).is_err();
        let (mut stuck, mut unknown) = (Vec::new(), None);
        match self.read_live(&failed.file) {
            Ok(now) if now == failed.after && revert(failed) => stuck.push(failed.file.as_str()),
            Ok(_) => {}
            Err(_) => unknown = Some(failed.file.as_str()),
        }
        let kept = written.iter().rev().filter(|edit| revert(edit));
        stuck.extend(kept.map(|edit| edit.file.as_str()));
        let hint = match (written, stuck.as_slice(), unknown) {
            ([], [], None) => return fault,
            (_, [], None) => return fault.hint("No object was changed."),
            (_, [], Some(unknown)) => format!("Nobody knows yet whether {unknown} was written."),
            (_, stuck, None) => format!("These were written and could not be taken back: {}.", stuck.join(", ")),
            (_, stuck, Some(unknown)) => format!(
                "These were written and could not be taken back: {}. Nobody knows yet whether {unknown} was written.",
                stuck.join(", ")
            ),
        };
        let message = format!("The change was cut short: {}", fault.message);
        Fault::new(CUT_SHORT, message).hint(format!(
            "{hint} Changes shows what each object holds, and finishes the change or goes back."
        ))
    }

    /// What is stored of an object now.
    fn read_live(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let (kind, namespace, name) =
            object_of(file).ok_or_else(|| Fault::input(format!("{file:?} is no object of a cluster.")))?;
        let resource = self.resource(kind)?.clone();
        let writer = Writer::new(self.client.clone(), &resource, namespace, name);
        self.call(async move { Ok(text_of(writer.read().await?.as_ref(), &resource)) })
    }
}

fn text_of(object: Option<&DynamicObject>, resource: &ApiResource) -> Option<Vec<u8>> {
    object.map(|object| kinds::undated(&kinds::render(object, resource)).into_bytes())
}
