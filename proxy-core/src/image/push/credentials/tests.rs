use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A helper that says `said` of the registry that it is asked for, and ends with `code`.
    fn helper(&self, name: &str, said: &str, code: u8) {
        let script = format!("#!/bin/sh\n[ $1 = get ] || exit 9\nkey=$(cat)\nprintf '%s' \"{said}\"\nexit {code}\n");
        let path = self.file(&format!("docker-credential-{name}"), &script);
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    async fn find(&self, files: &[PathBuf], reference: &str) -> Result<Option<Credentials>, Fault> {
        let path = env::join_paths(
            [self.0.path().to_path_buf()]
                .into_iter()
                .chain(env::split_paths(&env::var_os("PATH").unwrap())),
        );
        let keyrings = Keyrings {
            files: files.to_vec(),
            path: Some(path.unwrap()),
        };
        keyrings.find(&reference.parse().unwrap()).await
    }
}

fn password(user: &str, password: &str) -> Secret {
    let (user, password) = (user.to_string(), password.to_string());
    Secret::Password { user, password }
}

#[tokio::test]
async fn the_entry_that_names_most_of_the_reference_counts() {
    let home = Home::new();
    let docker = home.file(
        "config.json",
        r#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOnB3"}, "ghcr.io": {"username": "u", "password": "p:q"},
            "https://r.example:5000/v2/": {"identitytoken": "t"}}}"#,
    );
    let podman = home.file(
        "auth.json",
        r#"{"auths": {"ghcr.io": {"auth": "bm86bm8="}, "quay.io": {"auth": "YTpi"}, "quay.io/team": {"auth": "Yzpk"}}}"#,
    );
    let files = [home.0.path().join("none.json"), docker.clone(), podman];
    for (reference, expected) in [
        ("docker.io/me/p", Some(password("hub", "pw"))),
        ("ghcr.io/a/b", Some(password("u", "p:q"))),
        ("r.example:5000/b", Some(Secret::Refresh("t".into()))),
        ("quay.io/other/p", Some(password("a", "b"))),
        ("quay.io/team/p", Some(password("c", "d"))),
        ("quay.io/teammate/p", Some(password("a", "b"))),
        ("r.example/b", None),
    ] {
        let found = home.find(&files, reference).await.unwrap();
        assert_eq!(found.map(|found| found.secret), expected, "{reference}");
    }
    let found = home.find(&files, "ghcr.io/a").await.unwrap().unwrap();
    assert_eq!(found.from, docker.display().to_string());
}

#[tokio::test]
async fn helpers_are_asked_for_the_registry_and_one_that_has_none_is_passed_by() {
    let home = Home::new();
    home.helper(
        "own",
        r#"{\"ServerURL\":\"$key\",\"Username\":\"for $key\",\"Secret\":\"s\"}"#,
        0,
    );
    home.helper("tokens", r#"{\"Username\":\"<token>\",\"Secret\":\"r\"}"#, 0);
    home.helper("empty", NOT_FOUND, 1);
    home.helper("locked", "the keyring is locked", 1);
    let docker = home.file(
        "config.json",
        r#"{"auths": {"locked.example": {}, "r.example": {}}, "credHelpers": {"t.example": "tokens", "l.example": "locked", "e.example": "empty", "n.example": "nowhere", "p.example": "../own"},
            "credsStore": "own"}"#,
    );
    let podman = home.file("auth.json", r#"{"auths": {"e.example": {"auth": "YTpi"}}}"#);
    let files = [docker, podman];
    for (reference, expected) in [
        ("r.example/p", password("for r.example", "s")),
        ("docker.io/me/p", password(&format!("for {HUB_KEY}"), "s")),
        ("t.example/p", Secret::Refresh("r".into())),
        ("e.example/p", password("a", "b")),
    ] {
        let found = home.find(&files, reference).await.unwrap();
        assert_eq!(found.unwrap().secret, expected, "{reference}");
    }
    for (reference, words) in [
        ("l.example/p", "docker-credential-locked"),
        ("l.example/p", "the keyring is locked"),
        ("n.example/p", "docker-credential-nowhere"),
        ("p.example/p", "its name is a path"),
    ] {
        let fault = home.find(&files, reference).await.unwrap_err().to_string();
        assert!(fault.contains(words), "{fault}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_nothing_that_it_says_is_told() {
    let home = Home::new();
    for text in [
        r#"{"auths": {"r.example": {"auth": 7, "password": "hunter2"}}}"#,
        r#"{"auths": {"r.example": {"auth": "hunter2!"}}}"#,
    ] {
        let file = home.file("config.json", text);
        let fault = home.find(std::slice::from_ref(&file), "r.example/p").await.unwrap_err();
        assert!(matches!(fault, Fault::Config { .. }), "{fault:?}");
        let told = format!("{fault} {fault:?}");
        assert!(
            told.contains(&file.display().to_string()) && !told.contains("hunter2"),
            "{told}"
        );
    }
    let secret = format!("{:?}", password("user", "hunter2"));
    assert!(!secret.contains("hunter2"));
}
