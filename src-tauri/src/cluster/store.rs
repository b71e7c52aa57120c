//! The cluster as a place where change sets are written.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::core::{ApiResource, DynamicObject};
use proxy_core::yaml;

use super::{
    Cluster, Missing,
    attempt::is_away,
    connect::CONFLICT,
    follow::Sink as _,
    kinds::{self, ROLLING, object_of},
    owner::last_manager,
    words::shell_word,
    write::{Failed, Try, Writer, Written, is_ending, marked, template_patch},
};
use crate::{
    change::{CUT_SHORT, FileEdit, Store, Stored, changed, inside},
    dto::OwnersWay,
    fault::{Fault, Result},
};

/// How often an object is written whose version changes while what it says does not.
const AS_OFTEN: u8 = 4;
/// Most objects that are read at once.
const AT_ONCE: usize = 8;

impl Store for Cluster {
    fn name(&self) -> String {
        Self::journal_name(&self.context, &self.server)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        inside(self.folder(), file)?;
        let text = self
            .mirror
            .read(file)
            .map_err(|error| Fault::file("read", self.folder(), &error))?;
        Ok(text.map(|text| kinds::authored(&text).into_bytes()))
    }

    fn read_now(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let (resource, writer) = self.writer(file)?;
        self.call(async move { Ok(text_of(writer.read().await?.as_ref(), &resource)) })
    }

    fn write_all(&self, edits: &[FileEdit]) -> Result<Stored> {
        if let Some(reason) = self.locked() {
            return Err(Fault::new("read-only", reason));
        }
        self.write_back(edits)
    }

    fn write_back(&self, edits: &[FileEdit]) -> Result<Stored> {
        for edit in edits {
            // The mirror may be behind what was written last.
            if self.read(&edit.file)? != edit.before && self.read_now(&edit.file)? != edit.before {
                return Err(changed(&edit.file));
            }
        }
        let mut stored = Stored::default();
        for edit in edits {
            match self.write_one(edit, Try::Real) {
                Ok((after, warnings)) => {
                    stored.files.push(FileEdit { after, ..edit.clone() });
                    stored.warnings.extend(warnings);
                }
                Err(failed) => return Err(self.take_back(&stored.files, edit, failed)),
            }
        }
        Ok(stored)
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
        if ROLLING.contains(&kind) {
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

    fn prepare(&self, edits: Vec<FileEdit>, restored: &BTreeSet<String>) -> Result<Stored> {
        let mut prepared = Stored::default();
        let mut refused: Option<Fault> = None;
        for mut edit in edits {
            // What is written later is what is tried here, or what was there before: only what is new is Egret's.
            if edit.before.is_none() && !restored.contains(&edit.file) {
                edit.after = edit.after.as_deref().map(marked).transpose()?;
            }
            match self.write_one(&edit, Try::Dry) {
                Ok((after, warnings)) => {
                    prepared.files.push(FileEdit { after, ..edit });
                    prepared.warnings.extend(warnings);
                }
                Err(Failed { fault, .. }) if fault.causes.is_empty() => return Err(*fault),
                // What it has against the other objects is mended in the same go.
                Err(Failed { fault, .. }) => match &mut refused {
                    Some(first) => {
                        let known = std::mem::take(&mut first.causes);
                        first.causes = known.into_iter().chain(fault.causes).collect();
                    }
                    None => refused = Some(*fault),
                },
            }
        }
        refused.map_or(Ok(prepared), Err)
    }

    fn changed_by(&self, file: &str) -> Option<String> {
        let (_, writer) = self.writer(file).ok()?;
        // Without an answer the conflict is shown all the same.
        let live = self.call(async move { writer.read().await }).ok()??;
        last_manager(&live.metadata)
    }

    fn owners(&self, edits: &[FileEdit]) -> Vec<OwnersWay> {
        let known = edits.iter().filter(|edit| edit.before.is_some());
        let reads = known.filter_map(|edit| {
            let (_, writer) = self.writer(&edit.file).ok()?;
            let edit = edit.clone();
            Some(async move {
                let live = writer.read().await?;
                let text = edit.after.as_deref().map(String::from_utf8_lossy);
                let owner = live.and_then(|live| writer.owner(&live, text.as_deref()));
                Ok::<_, Fault>(owner.map(|owner| owner.way(edit.file)))
            })
        });
        let reads = stream::iter(reads.collect::<Vec<_>>());
        let found = self.call(reads.buffered(AT_ONCE).try_collect::<Vec<_>>());
        // Without an answer the change is reviewed all the same.
        found.unwrap_or_default().into_iter().flatten().collect()
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
    fn write_one(&self, edit: &FileEdit, way: Try) -> Result<(Option<Vec<u8>>, Vec<String>), Failed> {
        let (resource, writer) = self.writer(&edit.file)?;
        let mut tries = 1..AS_OFTEN;
        let Written {
            object,
            is_ending,
            warnings,
        } = loop {
            let reader = writer.clone();
            let live = self.call(async move { reader.read().await })?;
            // One that is being deleted is known by the writer.
            if !live.as_ref().is_some_and(is_ending) && text_of(live.as_ref(), &resource) != edit.before {
                return Err(changed(&edit.file).into());
            }
            match self.send(writer.clone(), live, edit.after.clone(), way) {
                // Another version that may say the same: its status was written meanwhile.
                Err(failed) if failed.fault.code == CONFLICT && tries.next().is_some() => {}
                outcome => {
                    break outcome.map_err(|mut failed| {
                        failed
                            .fault
                            .causes
                            .iter_mut()
                            .for_each(|cause| cause.file.clone_from(&edit.file));
                        failed
                    })?;
                }
            }
        };
        if way == Try::Real {
            // It is written; what the mirror cannot take now, the watch brings.
            let _ = match &object {
                Some(object) => self.mirror.put(object, &resource),
                // It is in force until it is gone.
                None if is_ending => Ok(()),
                None => self.mirror.remove(&edit.file),
            };
        }
        Ok((text_of(object.as_ref(), &resource), warnings))
    }

    /// Makes `live` what `after` says.
    fn send(
        &self,
        writer: Writer,
        live: Option<DynamicObject>,
        after: Option<Vec<u8>>,
        way: Try,
    ) -> Result<Written, Failed> {
        let exchange = async move {
            Ok(match (&after, &live) {
                (Some(text), live) => writer.put(live.as_ref(), &String::from_utf8_lossy(text), way).await,
                (None, Some(live)) => writer.delete(live, way).await,
                (None, None) => Ok(Written {
                    object: None,
                    is_ending: false,
                    warnings: Vec::new(),
                }),
            })
        };
        self.call(exchange).map_err(|fault| Failed::unanswered(fault, way))?
    }

    /// Who writes the object of `file`.
    fn writer(&self, file: &str) -> Result<(ApiResource, Writer)> {
        let (kind, namespace, name) =
            object_of(file).ok_or_else(|| Fault::input(format!("{file:?} is no object of a cluster.")))?;
        let resource = self.resource(kind)?.clone();
        let writer = Writer::new(self.client.clone(), &resource, namespace, name);
        Ok((resource, writer))
    }

    pub(super) fn resource(&self, kind: &str) -> Result<&ApiResource> {
        self.resources.get(kind).ok_or_else(|| {
            Fault::new("no-kind", format!("This cluster does not serve {kind}.")).hint("A newer Istio does.")
        })
    }

    /// After a fault: the objects that were `written` already become what they were; that of `edit` too where its answer was
    /// lost, and it was written.
    fn take_back(&self, written: &[FileEdit], edit: &FileEdit, failed: Failed) -> Fault {
        let Failed { fault, is_unknown, .. } = failed;
        let fault = *fault;
        let (mut last, mut unknown, mut away) = (None, None, None);
        if is_unknown {
            match self.read_now(&edit.file) {
                Ok(now) if now == edit.before => {}
                Ok(now) if now == edit.after => last = Some(edit),
                Ok(_) => unknown = Some(edit.file.as_str()),
                Err(fault) => (unknown, away) = (Some(edit.file.as_str()), Some(fault).filter(is_away)),
            }
        }
        let back = written.iter().chain(last).rev();
        let stuck = reverse(back, away.is_some(), |edit| {
            self.write_one(&edit.reversed(), Try::Real)
                .map(|_| ())
                .map_err(|failed| *failed.fault)
        });
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
        let told = Fault::new(CUT_SHORT, message).hint(format!(
            "{hint} Changes shows what each object holds, and finishes the change or goes back."
        ));
        Fault {
            causes: fault.causes,
            ..told
        }
    }
}

/// Takes edits back, and gives the files of those that it could not. Once nobody answers, none is tried any more: each
/// would wait as long.
fn reverse<'e>(
    back: impl Iterator<Item = &'e FileEdit>,
    mut is_silent: bool,
    revert: impl Fn(&FileEdit) -> Result<()>,
) -> Vec<&'e str> {
    let mut stuck = Vec::new();
    for edit in back {
        if !is_silent {
            match revert(edit) {
                Ok(()) => continue,
                Err(fault) => is_silent = is_away(&fault),
            }
        }
        stuck.push(edit.file.as_str());
    }
    stuck
}

/// What an object says; one that is deleted and waits for its finalizers says nothing any more.
fn text_of(object: Option<&DynamicObject>, resource: &ApiResource) -> Option<Vec<u8>> {
    let object = object.filter(|object| !is_ending(object));
    object.map(|object| kinds::authored(&kinds::render(object, resource)).into_bytes())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn once_nobody_answers_no_other_object_is_tried() {
        let edits: Vec<FileEdit> = (0..120)
            .map(|index| FileEdit {
                file: format!("e{index:03}"),
                before: None,
                after: Some(Vec::new()),
            })
            .collect();
        for (silent, code, tried, stuck) in [
            (false, "unreachable", 3, 118),
            (false, "slow", 3, 118),
            // Whoever answers is asked for the others too.
            (false, "forbidden", 120, 118),
            (true, "unreachable", 0, 120),
        ] {
            let count = Cell::new(0);
            let left = reverse(edits.iter().rev(), silent, |_| {
                count.set(count.get() + 1);
                match count.get() {
                    ..=2 => Ok(()),
                    _ => Err(Fault::new(code, "")),
                }
            });
            assert_eq!((count.get(), left.len()), (tried, stuck), "{silent} {code}");
        }
    }
}
