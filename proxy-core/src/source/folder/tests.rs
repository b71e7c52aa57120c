use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

use super::*;
use crate::source::{manifests, read_paths};

const ENTRY: &str =
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a.com]}\n";

fn hosts(folder: &Folder) -> Vec<String> {
    folder
        .reading()
        .world
        .service_entries
        .iter()
        .map(|entry| entry.spec.hosts[0].to_string())
        .collect()
}

#[test]
fn a_file_that_goes_while_the_folder_is_read_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..100 {
        fs::write(root.path().join(format!("{index}.yaml")), ENTRY).unwrap();
    }
    let folder = root.path().to_path_buf();
    let taker = thread::spawn(move || {
        for index in 0..100 {
            thread::sleep(Duration::from_micros(300));
            fs::remove_file(folder.join(format!("{index}.yaml"))).unwrap();
        }
    });
    while !taker.is_finished() {
        assert_eq!(Folder::open(root.path()).unwrap().reading().errors, []);
    }
    taker.join().unwrap();
}

/// As somebody for whom permissions hold: the test may run as root, who reads everything.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let nobody = scope.spawn(|| {
            // For this thread alone, which ends with the work.
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            work()
        });
        nobody.join().unwrap()
    })
}

#[test]
fn a_folder_below_that_may_not_be_read_is_named_and_takes_nothing_else_down() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let entry = |host: &str| ENTRY.replace("a.com", host);
    for (name, host) in [
        ("a.yaml", "a.com"),
        ("shut/b.yaml", "b.com"),
        ("shut/in/c.yaml", "c.com"),
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), entry(host)).unwrap();
    }
    let mode = |mode| fs::set_permissions(at("shut"), fs::Permissions::from_mode(mode)).unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let errors = |folder: &Folder| {
        let errors = folder.reading().errors;
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let shut = format!("{}: Permission denied", at("shut").display());

    mode(0o700);
    let begun = as_nobody(|| Folder::open(root.path())).unwrap();
    assert_eq!(hosts(&begun), ["a.com"]);
    assert!(errors(&begun).starts_with(&shut), "{}", errors(&begun));
    assert!(manifests(root.path()).is_ok() && as_nobody(|| manifests(root.path())).is_err());

    // What was read before stays in force, and the rest goes on being read.
    mode(0o755);
    let mut folder = as_nobody(|| Folder::open(root.path())).unwrap();
    assert_eq!((hosts(&folder).len(), errors(&folder).len()), (3, 0));
    for forbidden in [0o700, 0o744] {
        mode(forbidden);
        fs::write(at("a.yaml"), entry(&format!("a{forbidden}.com"))).unwrap();
        assert!(as_nobody(|| folder.refresh()).unwrap());
        assert_eq!(hosts(&folder), [&format!("a{forbidden}.com"), "b.com", "c.com"]);
        assert!(errors(&folder).starts_with(&at("shut").display().to_string()));
        assert!(!as_nobody(|| folder.refresh()).unwrap(), "nothing changed");
    }
    mode(0o755);
    fs::remove_file(at("shut/b.yaml")).unwrap();
    assert!(as_nobody(|| folder.refresh()).unwrap());
    assert_eq!((hosts(&folder).len(), errors(&folder).len()), (2, 0));
}

#[test]
fn a_file_counts_once_where_it_is_named_and_its_folder_too() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.yaml");
    fs::write(&file, ENTRY).unwrap();
    let around = root.path().join(".").join("a.yaml");
    for paths in [
        vec![root.path().to_path_buf(), file.clone()],
        vec![file.clone(), around, root.path().to_path_buf()],
    ] {
        let reading = read_paths(&paths).unwrap();
        assert_eq!(
            (reading.files, reading.world.service_entries.len()),
            (1, 1),
            "{paths:?}"
        );
    }
}

#[test]
fn files_whose_names_are_no_utf_8_count_each() {
    let root = tempfile::tempdir().unwrap();
    for (letter, host) in [(b'\xfe', "a.com"), (b'\xff', "b.com")] {
        let name = [b"se-", &[letter][..], b".yaml"].concat();
        fs::write(root.path().join(OsStr::from_bytes(&name)), ENTRY.replace("a.com", host)).unwrap();
    }
    let mut folder = Folder::open(root.path()).unwrap();
    assert_eq!(hosts(&folder), ["a.com", "b.com"]);
    assert!(!folder.refresh().unwrap(), "nothing changed");
    let file = |index: usize| folder.reading().world.service_entries[index].place.file.to_string();
    assert_eq!((file(0), file(1)), (r"se-\xfe.yaml".into(), r"se-\xff.yaml".into()));
}

#[test]
fn a_huge_file_is_not_read_to_its_end_to_say_that_it_is_too_large() {
    let root = tempfile::tempdir().unwrap();
    // A hole in the file system: read, it would take more memory than machines have.
    let file = fs::File::create(root.path().join("a.yaml")).unwrap();
    file.set_len(1 << 42).unwrap();
    let errors = Folder::open(root.path()).unwrap().reading().errors;
    assert!(errors[0].to_string().contains("more than the 32 MiB"), "{errors:?}");
}

#[test]
fn links_that_lead_back_up_have_each_manifest_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/one.yaml"), ENTRY).unwrap();
    // Three ways on at each of sixteen levels: more paths than anyone waits for.
    for (link, to) in [("a/b/up", "../.."), ("a/again", "."), ("first", "a/b"), ("last", "a")] {
        std::os::unix::fs::symlink(to, at(link)).unwrap();
    }
    let folder = Folder::open(root.path()).unwrap();
    assert_eq!(hosts(&folder), ["a.com"]);
    assert_eq!(manifests(root.path()).unwrap(), [Path::new("a/b/one.yaml")]);
}

#[test]
fn a_broken_file_keeps_its_last_good_version_and_says_where() {
    let folder_path = std::env::temp_dir().join(format!("egret-folder-{}", std::process::id()));
    fs::create_dir_all(folder_path.join("sub/.git")).unwrap();
    let file = folder_path.join("sub/a.yaml");
    fs::write(&file, ENTRY).unwrap();
    fs::write(folder_path.join("sub/.git/b.yaml"), ENTRY).unwrap();
    fs::write(folder_path.join("notes.txt"), "not read").unwrap();
    let mut folder = Folder::open(&folder_path).unwrap();
    assert_eq!(hosts(&folder), ["a.com"]);
    assert!(!folder.refresh().unwrap(), "nothing changed");

    for broken in [
        "spec: [\n",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: 1}\n",
    ] {
        fs::write(&file, broken).unwrap();
        assert!(folder.refresh().unwrap());
        assert_eq!(hosts(&folder), ["a.com"]);
        assert!(
            folder.reading().errors[0].to_string().starts_with("sub/a.yaml:"),
            "{}",
            folder.reading().errors[0]
        );
    }
    fs::write(&file, ENTRY.replace("a.com", "b.com")).unwrap();
    assert!(folder.refresh().unwrap());
    assert_eq!(
        (hosts(&folder), folder.reading().errors.len()),
        (vec!["b.com".to_string()], 0)
    );
    fs::remove_file(&file).unwrap();
    assert!(folder.refresh().unwrap());
    assert!(hosts(&folder).is_empty());
    fs::remove_dir_all(&folder_path).unwrap();
    assert!(folder.refresh().is_err());
}

#[test]
fn what_was_never_read_and_is_gone_does_not_have_the_whole_folder_read() {
    let place = tempfile::tempdir().unwrap();
    let at = |file: &str| place.path().join(file);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("sub/b.yaml"), ENTRY).unwrap();
    let folder = Folder::open(place.path()).unwrap();
    assert!(matches!(folder.stands_for(&at("sub/b.new")), Touched::Nothing));
    assert!(matches!(folder.stands_for(&at("su")), Touched::Nothing));
    fs::remove_dir_all(at("sub")).unwrap();
    assert!(matches!(folder.stands_for(&at("sub")), Touched::More));
    assert!(matches!(folder.stands_for(&at("sub/b.yaml")), Touched::Gone(_)));
}

#[test]
fn what_is_read_at_one_path_is_what_the_whole_folder_says() {
    let place = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let entry = |host: &str| ENTRY.replace("a.com", host);
    let at = |file: &str| place.path().join(file);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("sub/b.yaml"), entry("b.com")).unwrap();
    fs::write(elsewhere.path().join("far.yaml"), entry("far.com")).unwrap();
    let mut folder = Folder::open(place.path()).unwrap();
    type Step<'s> = (&'s str, Box<dyn Fn() + 's>, bool);
    let steps: Vec<Step> = vec![
        (
            "new.yaml",
            Box::new(|| fs::write(at("new.yaml"), entry("n.com")).unwrap()),
            true,
        ),
        (
            "new.yaml",
            Box::new(|| fs::write(at("new.yaml"), entry("m.com")).unwrap()),
            true,
        ),
        ("new.yaml", Box::new(|| {}), false),
        (
            ".new.yaml.swp",
            Box::new(|| fs::write(at(".new.yaml.swp"), "x").unwrap()),
            false,
        ),
        (
            "notes.txt",
            Box::new(|| fs::write(at("notes.txt"), "x").unwrap()),
            false,
        ),
        ("new.yaml", Box::new(|| fs::remove_file(at("new.yaml")).unwrap()), true),
        (
            "p.yaml.parts",
            Box::new(|| {
                let list = super::super::list_of_parts(entry("p.com").as_bytes(), ["p.yaml.0", "p.yaml.1"]);
                fs::write(at("p.yaml.parts"), list).unwrap();
            }),
            true,
        ),
        (
            "p.yaml.0",
            Box::new(|| fs::write(at("p.yaml.0"), &entry("p.com")[..9]).unwrap()),
            false,
        ),
        (
            "p.yaml.1",
            Box::new(|| fs::write(at("p.yaml.1"), &entry("p.com")[9..]).unwrap()),
            true,
        ),
        (
            "p.yaml.parts",
            Box::new(|| fs::remove_file(at("p.yaml.parts")).unwrap()),
            true,
        ),
        (
            "sub",
            Box::new(|| fs::rename(at("sub"), at("other.yaml")).unwrap()),
            true,
        ),
        ("other.yaml", Box::new(|| {}), false),
        (
            "other.yaml",
            Box::new(|| fs::remove_dir_all(at("other.yaml")).unwrap()),
            true,
        ),
        (
            "far",
            Box::new(|| std::os::unix::fs::symlink(elsewhere.path(), at("far")).unwrap()),
            true,
        ),
        (
            ".data",
            Box::new(|| fs::write(elsewhere.path().join("far.yaml"), entry("near.com")).unwrap()),
            true,
        ),
    ];
    for (path, step, differs) in steps {
        step();
        assert_eq!(folder.refresh_at([at(path).as_path()]).unwrap(), differs, "{path}");
        assert_eq!(hosts(&folder), hosts(&Folder::open(place.path()).unwrap()), "{path}");
    }
    assert_eq!(hosts(&folder), ["near.com"]);
}
