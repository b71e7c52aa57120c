//! Files that a command is to see at places of its own, as a pod's volumes are mounted: in memory, in the mount namespace of
//! the sandbox, and gone with it.
//!
//! An ordinary user can make no folder in `/etc` or `/`, and needs none: the command gets a root of its own, in which
//! everything of the old one is bound again, and folders that must take a new entry are made anew around their own entries.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::pivot_root,
};
use serde::{Deserialize, Serialize};

/// Where the new root is put together. It is private to the sandbox, and what is there otherwise comes back.
const STAGE: &str = "/tmp";

/// What is mounted at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// Where: absolute, without `..`.
    pub path: PathBuf,
    /// What.
    pub contents: Contents,
}

/// What is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contents {
    /// A folder with these files, by their names below it; it hides what was there.
    Folder(BTreeMap<String, Vec<u8>>),
    /// One file.
    File(Vec<u8>),
}

impl std::fmt::Debug for Contents {
    // It may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(files) => write!(f, "Folder({} files)", files.len()),
            Self::File(_) => write!(f, "File"),
        }
    }
}

/// Gives this process, which must have a mount namespace of its own, a root in which all of them are mounted.
pub(super) fn lay(mounted: &[Mounted]) -> io::Result<()> {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let places = mounted
        .iter()
        .map(|each| Ok((place(&each.path)?, &each.contents)))
        .collect::<io::Result<Vec<_>>>()?;
    change("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    memory(Path::new(STAGE))?;
    let stage = Path::new(STAGE);
    for name in ["new", "old"] {
        fs::create_dir(stage.join(name))?;
    }
    pivot_root(stage, &stage.join("old"))?;
    env::set_current_dir("/")?;
    let (old, new) = (Path::new("/old"), Path::new("/new"));
    memory(new)?;
    let below: Vec<&Path> = places.iter().map(|(place, _)| place.as_path()).collect();
    grow(old, new, &below)?;
    for (place, contents) in &places {
        put(&new.join(place), contents)?;
    }
    read_only(new)?;
    env::set_current_dir(new)?;
    // The old root comes to lie over the new one, and is taken away (pivot_root(2)).
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    env::set_current_dir("/")?;
    env::set_current_dir(here)
}

/// A place below the root, without links on the way there.
fn place(path: &Path) -> io::Result<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || path.parent().is_none() || !path.components().all(plain) {
        return Err(wrong(path, "is no place that can be mounted at"));
    }
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    let there = there.ok_or_else(|| wrong(path, "has no root"))?;
    let rest = path.strip_prefix(there).map_err(io::Error::other)?;
    let whole = there.canonicalize()?.join(rest);
    let below = whole.strip_prefix("/").map_err(io::Error::other)?;
    match below.components().next() {
        None => Err(wrong(path, "is the root")),
        Some(first) if ["proc", "sys", "dev"].iter().any(|own| first.as_os_str() == *own) => {
            Err(wrong(path, "belongs to the system"))
        }
        Some(_) => Ok(below.to_path_buf()),
    }
}

fn wrong(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} {why}", path.display()))
}

/// Makes the empty folder `new` say what `old` says, with room for what is mounted at `places` below it.
fn grow(old: &Path, new: &Path, places: &[&Path]) -> io::Result<()> {
    let mut below: BTreeMap<&OsStr, Vec<&Path>> = BTreeMap::new();
    for place in places {
        let mut parts = place.components();
        if let Some(Component::Normal(first)) = parts.next() {
            below.entry(first).or_default().push(parts.as_path());
        }
    }
    for entry in fs::read_dir(old)? {
        let entry = entry?;
        let (from, to) = (entry.path(), new.join(entry.file_name()));
        match below.remove(&*entry.file_name()) {
            None => bind(&from, &to)?,
            // Something is mounted right here, and hides it.
            Some(inner) if inner.iter().any(|rest| rest.as_os_str().is_empty()) => {}
            Some(inner) => {
                fs::create_dir(&to)?;
                fs::set_permissions(&to, entry.metadata()?.permissions())?;
                grow(&from, &to, &inner)?;
            }
        }
    }
    for (name, inner) in below {
        for rest in inner.iter().filter_map(|rest| rest.parent()) {
            fs::create_dir_all(new.join(name).join(rest))?;
        }
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
    } else {
        fs::write(to, "")?;
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(from), to, None::<&str>, flags, None::<&str>)?)
}

fn put(place: &Path, contents: &Contents) -> io::Result<()> {
    match contents {
        Contents::File(bytes) => fs::write(place, bytes),
        Contents::Folder(files) => {
            fs::create_dir_all(place)?;
            memory(place)?;
            for (name, bytes) in files {
                let name = Path::new(name);
                if !name.components().all(|part| matches!(part, Component::Normal(_))) {
                    return Err(wrong(name, "is no name of a file"));
                }
                let file = place.join(name);
                fs::create_dir_all(file.parent().unwrap_or(place))?;
                fs::write(file, bytes)?;
            }
            read_only(place)
        }
    }
}

/// A file system in memory at `place`.
fn memory(place: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("tmpfs"), place, Some("tmpfs"), flags, Some("mode=755"))?)
}

fn read_only(place: &Path) -> io::Result<()> {
    let own = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    change(place, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | own)
}

fn change(place: impl AsRef<Path>, flags: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, place.as_ref(), None::<&str>, flags, None::<&str>)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_absolute_and_the_systems_own_are_left_alone() {
        let refused = |path: &str| place(Path::new(path)).unwrap_err().to_string();
        assert_eq!(place(Path::new("/etc/none/such")).unwrap(), Path::new("etc/none/such"));
        assert!(refused("etc/app").contains("no place"));
        assert!(refused("/etc/../root").contains("no place"));
        assert!(refused("/").contains("no place"));
        assert!(refused("/proc/self").contains("belongs to the system"));
    }
}
