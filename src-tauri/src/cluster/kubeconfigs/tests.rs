use super::*;

const USER: &str = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [get-token]}}";

fn write(folder: &Path, user: &str) -> PathBuf {
    let file = folder.join("team.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\nusers: \
         [{{name: u, user: {user}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write(&file, text).unwrap();
    file.canonicalize().unwrap()
}

#[test]
fn a_list_that_cannot_be_read_is_put_aside_and_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kubeconfigs.json"), "{\"files\": [").unwrap();
    let own = Kubeconfigs::open(folder.path());
    assert_eq!(own.list().len(), 1, "only the default file");
    own.add(&write(folder.path(), "{token: t}")).unwrap();
    let aside = fs::read_to_string(folder.path().join("kubeconfigs.unreadable")).unwrap();
    assert_eq!(aside, "{\"files\": [");
    assert_eq!(Kubeconfigs::open(folder.path()).list().len(), 2);
}

#[test]
fn a_picked_file_is_remembered_by_its_name_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "{token: t}");
    let own = Kubeconfigs::open(folder.path()).add(&file).unwrap();
    let again = Kubeconfigs::open(folder.path());
    assert_eq!(again.add(&file).unwrap(), own, "and not listed twice");
    let listed = again.list();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (listed[1].id.as_str(), listed[1].name.as_deref()),
        (own.as_str(), Some("team.yaml"))
    );
    let shown = format!("{:?}", listed[1]);
    assert!(!shown.contains(&*folder.path().to_string_lossy()), "{shown}");
    again.forget(&own).unwrap();
    assert_eq!(Kubeconfigs::open(folder.path()).list().len(), 1);
    assert!(again.target(&own, "x").is_err());
    assert!(again.add(&folder.path().join("nowhere")).is_err());
}

#[test]
fn a_program_of_a_picked_file_runs_only_once_it_was_allowed_and_only_as_it_was_shown() {
    let folder = tempfile::tempdir().unwrap();
    let own = Kubeconfigs::open(folder.path());
    let id = own.add(&write(folder.path(), USER)).unwrap();
    assert_eq!(own.target(&id, "x").unwrap().kubeconfig().unwrap_err().code, ASKS);
    assert_eq!(own.asks(&id, "x").unwrap().unwrap().command, "aws get-token");
    assert_eq!(own.allow(&id, "x", "aws").unwrap_err().code, "changed");
    own.allow(&id, "x", "aws get-token").unwrap();
    let again = Kubeconfigs::open(folder.path());
    assert!(
        again.target(&id, "x").unwrap().kubeconfig().is_ok(),
        "and after a start"
    );
    for other in [
        USER.replace("get-token", "steal"),
        USER.replace("aws", "./aws"),
        USER.replace("args", "env: [{name: LD_PRELOAD, value: x.so}], args"),
    ] {
        write(folder.path(), &other);
        assert_eq!(
            again.target(&id, "x").unwrap().kubeconfig().unwrap_err().code,
            ASKS,
            "{other}"
        );
    }
    write(folder.path(), "{token: t}");
    assert!(
        again.target(&id, "x").unwrap().kubeconfig().is_ok(),
        "no program, nothing to ask"
    );
}

#[test]
fn an_entry_that_changed_on_disk_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let own = Kubeconfigs::open(folder.path());
    let id = own.add(&write(folder.path(), "{token: t}")).unwrap();
    let before = own.target(&id, "x").unwrap();
    assert_eq!(before.now().unwrap().context, before.context);
    write(folder.path(), "{token: u}");
    assert_ne!(before.now().unwrap().context.entry, before.context.entry);
}

#[test]
fn namespaces_are_remembered_for_their_context_until_its_file_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let own = Kubeconfigs::open(folder.path());
    let id = own.add(&write(folder.path(), "{token: t}")).unwrap();
    own.name_namespaces(&id, "x", vec!["shop".into(), "pay-2".into()])
        .unwrap();
    let again = Kubeconfigs::open(folder.path());
    assert_eq!(again.target(&id, "x").unwrap().namespaces(), ["shop", "pay-2"]);
    assert!(again.namespaces(&id, "y").is_empty());
    for wrong in ["", "Shop", "a.b", "-a", "a/b", &"a".repeat(64)] {
        let refused = again.name_namespaces(&id, "x", vec![wrong.into()]).unwrap_err();
        assert_eq!(refused.code, "input", "{wrong}");
    }
    assert_eq!(again.namespaces(&id, "x").len(), 2, "nothing else took their place");
    again.forget(&id).unwrap();
    assert!(again.namespaces(&id, "x").is_empty());
}

#[test]
fn settings_that_are_broken_are_no_settings() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kubeconfigs.json"), "{").unwrap();
    assert_eq!(Kubeconfigs::open(folder.path()).list().len(), 1);
}
