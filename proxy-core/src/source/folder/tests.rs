use super::*;
use crate::source::manifests;

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
