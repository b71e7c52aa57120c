//! The kubeconfig files a person connects with: the default ones, and those that were picked. Which were picked, and
//! which programs of theirs may run, is kept between starts; where they lie stays in here.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::config::Kubeconfig;
use serde::{Deserialize, Serialize};

use super::{
    contexts::{self, Context, Plugin, contexts, kubeconfig},
    digest::Digest,
};
use crate::fault::{Fault, Result};

/// Handle of the default kubeconfig.
pub const DEFAULT: &str = "default";
/// Code of the fault that only a person mends, by allowing a program to run.
pub const ASKS: &str = "asks";
/// Namespaces that are kept for a context at the most.
const MAX_NAMED: usize = 100;
/// Files that are kept at the most.
const MAX_FILES: usize = 40;

/// All of them.
#[derive(Debug)]
pub struct Kubeconfigs {
    settings: PathBuf,
    kept: Mutex<Kept>,
}

/// What the settings file says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    files: Vec<PathBuf>,
    /// Of file and program together.
    allowed: BTreeSet<Digest>,
    /// Namespaces that a person named for a context, by `FILE/CONTEXT`.
    namespaces: BTreeMap<String, Vec<String>>,
}

/// One file with its contexts.
#[derive(Debug)]
pub struct Listed {
    /// Names it towards the windows.
    pub id: String,
    /// Its file name; of the default one, nothing.
    pub name: Option<String>,
    /// Contexts, each with whether a person must allow its program first.
    pub contexts: Result<Vec<(Context, bool)>>,
}

/// One context of one file: what can be connected to.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it was when it was chosen.
    pub context: Context,
    /// Handle of its file.
    pub id: String,
    file: Option<PathBuf>,
    kubeconfigs: Arc<Kubeconfigs>,
}

impl Kubeconfigs {
    /// What was kept in `data`; nothing where that cannot be read: then the file is put aside, so that the next one does
    /// not take its place.
    pub fn open(data: &Path) -> Arc<Self> {
        let settings = data.join("kubeconfigs.json");
        let text = fs::read(&settings).ok();
        let kept = text.as_ref().and_then(|text| serde_json::from_slice(text).ok());
        if text.is_some() && kept.is_none() {
            // Where it cannot be put aside it cannot be written over either.
            let _ = fs::rename(&settings, settings.with_extension("unreadable"));
        }
        Arc::new(Self {
            settings,
            kept: Mutex::new(kept.unwrap_or_default()),
        })
    }

    /// Every file with what it says now.
    pub fn list(&self) -> Vec<Listed> {
        let files = self.lock().files.clone();
        let all = std::iter::once(None).chain(files.into_iter().map(Some));
        all.map(|file| Listed {
            id: id(file.as_deref()),
            name: file
                .as_ref()
                .map(|file| file.file_name().unwrap_or_default().to_string_lossy().into_owned()),
            contexts: self.contexts(file.as_deref()),
        })
        .collect()
    }

    fn contexts(&self, file: Option<&Path>) -> Result<Vec<(Context, bool)>> {
        let config = kubeconfig(file)?;
        let asks = |context: &Context| self.asked(file, &config, &context.name).is_some();
        Ok(contexts(file)?
            .into_iter()
            .map(|context| {
                let asks = asks(&context);
                (context, asks)
            })
            .collect())
    }

    /// Remembers a file that can be read, and gives its handle. One that is listed already is not listed twice.
    pub fn add(&self, file: &Path) -> Result<String> {
        self.list_with(file, |kept, next| self.keep(kept, next))
    }

    /// The same for as long as this value lives.
    pub fn lend(&self, file: &Path) -> Result<String> {
        self.list_with(file, |kept, next| {
            *kept = next;
            Ok(())
        })
    }

    fn list_with(&self, file: &Path, keep: impl FnOnce(&mut Kept, Kept) -> Result<()>) -> Result<String> {
        let file = file.canonicalize().map_err(|_| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Fault::new("file", format!("{name} cannot be opened."))
        })?;
        if contexts(Some(&file))?.is_empty() {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(Fault::new("kubeconfig", format!("{name} names no context."))
                .hint("A kubeconfig is expected, such as your cluster's own tool writes."));
        }
        if is_default(&file) {
            return Ok(DEFAULT.into());
        }
        let mut kept = self.lock();
        let own = id(Some(&file));
        if kept.files.contains(&file) {
            return Ok(own);
        }
        if kept.files.len() >= MAX_FILES {
            return Err(Fault::new("full", format!("{MAX_FILES} kubeconfig files are listed."))
                .hint("Take one off the list first."));
        }
        let mut next = kept.clone();
        next.files.push(file);
        keep(&mut kept, next)?;
        Ok(own)
    }

    /// Takes a file off the list; it is not deleted.
    pub fn forget(&self, own: &str) -> Result<()> {
        let mut kept = self.lock();
        let mut next = kept.clone();
        next.files.retain(|file| id(Some(file)) != own);
        next.namespaces.retain(|key, _| !key.starts_with(&format!("{own}/")));
        self.keep(&mut kept, next)
    }

    /// The context `name` of the file `id`, as it is now.
    pub fn target(self: &Arc<Self>, id: &str, name: &str) -> Result<Target> {
        let file = self.file(id)?;
        let context = contexts(file.as_deref())?
            .into_iter()
            .find(|context| context.name == name)
            .ok_or_else(|| Fault::new("missing", format!("The kubeconfig has no context {name:?}.")))?;
        Ok(Target {
            context,
            id: id.to_string(),
            file,
            kubeconfigs: self.clone(),
        })
    }

    /// The program that a person must allow before the context `name` of the file `id` can be used.
    pub fn asks(&self, id: &str, name: &str) -> Result<Option<Plugin>> {
        let file = self.file(id)?;
        Ok(self.asked(file.as_deref(), &kubeconfig(file.as_deref())?, name))
    }

    /// Allows the program that was shown as `shown`, and no other, and remembers that.
    pub fn allow(&self, id: &str, name: &str, shown: &str) -> Result<()> {
        let file = self.file(id)?;
        let Some(plugin) = self.asked(file.as_deref(), &kubeconfig(file.as_deref())?, name) else {
            return Ok(());
        };
        if plugin.command != shown {
            return Err(Fault::new("changed", "The kubeconfig names another program now.").hint("Look at it again."));
        }
        let mut kept = self.lock();
        let mut next = kept.clone();
        next.allowed.insert(both(file.as_deref(), &plugin));
        self.keep(&mut kept, next)
    }

    /// The namespaces that were named for the context `name` of the file `id`.
    pub fn namespaces(&self, id: &str, name: &str) -> Vec<String> {
        let kept = self.lock();
        kept.namespaces
            .get(&format!("{id}/{name}"))
            .cloned()
            .unwrap_or_default()
    }

    /// Remembers the namespaces of a context whose person may not list them.
    pub fn name_namespaces(&self, id: &str, name: &str, namespaces: Vec<String>) -> Result<()> {
        if let Some(wrong) = namespaces.iter().find(|each| !is_label(each)) {
            return Err(Fault::input(format!("{wrong:?} is no name of a namespace."))
                .hint("Lower case letters, digits and dashes are, up to 63 of them."));
        }
        if namespaces.len() > MAX_NAMED {
            return Err(Fault::input(format!("At most {MAX_NAMED} namespaces can be named.")));
        }
        let mut kept = self.lock();
        let mut next = kept.clone();
        next.namespaces.insert(format!("{id}/{name}"), namespaces);
        next.namespaces.retain(|_, namespaces| !namespaces.is_empty());
        self.keep(&mut kept, next)
    }

    /// The program of a context that nobody has allowed yet. A person's own default files need no asking: whatever reads
    /// them runs what they name.
    fn asked(&self, file: Option<&Path>, config: &Kubeconfig, name: &str) -> Option<Plugin> {
        file?;
        let plugin = contexts::plugin(config, name)?;
        (!self.lock().allowed.contains(&both(file, &plugin))).then_some(plugin)
    }

    fn file(&self, own: &str) -> Result<Option<PathBuf>> {
        if own == DEFAULT {
            return Ok(None);
        }
        let found = self.lock().files.iter().find(|file| id(Some(file)) == own).cloned();
        found
            .map(Some)
            .ok_or_else(|| Fault::new("missing", "This kubeconfig file is no longer listed.").hint("Open it again."))
    }

    /// Nothing holds that was not written.
    fn keep(&self, kept: &mut Kept, next: Kept) -> Result<()> {
        let unwritten = |error: io::Error| Fault::file("write", &self.settings, &error);
        let text = serde_json::to_vec_pretty(&next).map_err(|error| unwritten(error.into()))?;
        let temporary = self.settings.with_extension("new");
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary);
        file.and_then(|mut file| io::Write::write_all(&mut file, &text))
            .and_then(|()| fs::rename(&temporary, &self.settings))
            .map_err(unwritten)?;
        *kept = next;
        Ok(())
    }

    // What is guarded is replaced whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// Its file; the default ones are none.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The kubeconfig as it is now, unless it names a program that nobody has allowed.
    pub(super) fn kubeconfig(&self) -> Result<Kubeconfig> {
        let config = kubeconfig(self.file.as_deref())?;
        match self
            .kubeconfigs
            .asked(self.file.as_deref(), &config, &self.context.name)
        {
            None => Ok(config),
            Some(_) => Err(Fault::new(
                ASKS,
                "The kubeconfig runs a program for its credentials that you have not allowed.",
            )
            .hint("Choose the context in the menu at the top left: it shows the program, and asks.")),
        }
    }

    /// `fault` with what a person can do about it who logs in as this context does.
    pub(super) fn explained(&self, fault: Fault) -> Fault {
        match self.context.login {
            Some(login) => login.explained(fault),
            None => fault,
        }
    }

    /// The namespaces that were named for it.
    pub(super) fn namespaces(&self) -> Vec<String> {
        self.kubeconfigs.namespaces(&self.id, &self.context.name)
    }

    /// Allows its program, as a person does who was shown it.
    #[cfg(test)]
    pub(super) fn allow_as_shown(&self) {
        let (own, name) = (&self.kubeconfigs, &self.context.name);
        if let Ok(Some(plugin)) = own.asks(&self.id, name) {
            own.allow(&self.id, name, &plugin.command).unwrap();
        }
    }

    /// The context as the file says it now.
    pub(super) fn now(&self) -> Result<Target> {
        self.kubeconfigs.target(&self.id, &self.context.name)
    }
}

fn id(file: Option<&Path>) -> String {
    file.map_or(DEFAULT.into(), |file| {
        Digest::of(file.as_os_str().as_encoded_bytes()).short().to_string()
    })
}

fn both(file: Option<&Path>, plugin: &Plugin) -> Digest {
    let file = file.map(|file| file.as_os_str().as_encoded_bytes()).unwrap_or_default();
    Digest::of(&[Digest::of(file).bytes(), plugin.digest.bytes()].concat())
}

/// A name as RFC 1123 has labels, which namespaces' are.
fn is_label(name: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    (1..=63).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether everything else that reads kubeconfigs reads this one too.
fn is_default(file: &Path) -> bool {
    let named = env::var_os("KUBECONFIG").filter(|named| !named.is_empty());
    let home = || env::home_dir().map(|home| home.join(".kube/config"));
    let files: Vec<PathBuf> = match named {
        Some(named) => env::split_paths(&named).collect(),
        None => home().into_iter().collect(),
    };
    files
        .iter()
        .any(|each| each.canonicalize().is_ok_and(|each| each == file))
}

#[cfg(test)]
mod tests;
