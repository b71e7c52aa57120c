//! The sidecar's image into a real registry, with the credentials that Docker and Podman leave.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use egret_tests::mesh::{Asks, NotUp, Registry};
use serde_json::{Value, json};

use crate::runas::program;

/// A person's home folder, with programs for two architectures to push.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        // x86-64 and AArch64. Source: elf(5).
        for (name, machine) in [("amd64", 62_u16), ("arm64", 183)] {
            let mut header = vec![0; 64];
            header[..6].copy_from_slice(b"\x7fELF\x02\x01");
            header[18..20].copy_from_slice(&machine.to_le_bytes());
            fs::write(home.path(name), header).unwrap();
        }
        fs::create_dir(home.path(".docker")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What `docker login` would leave.
    fn log_in(&self, registry: &Registry, entry: Value) {
        let config = json!({ "auths": { registry.address(): entry } });
        fs::write(self.path(".docker/config.json"), config.to_string()).unwrap();
    }

    fn push(&self, binaries: &[&str], name: &str, trusted: Option<&Path>) -> Output {
        let mut command = Command::new(program("egret-proxy"));
        command.args(["image", "--json", "--push", name]);
        for binary in binaries {
            command.arg("--binary").arg(self.path(binary));
        }
        for set in [
            "DOCKER_CONFIG",
            "REGISTRY_AUTH_FILE",
            "XDG_RUNTIME_DIR",
            "XDG_CONFIG_HOME",
            "SSL_CERT_FILE",
        ] {
            command.env_remove(set);
        }
        command.env("HOME", self.0.path());
        command.envs(trusted.map(|file| ("SSL_CERT_FILE", file)));
        command.output().unwrap()
    }

    /// The digest under which it was pushed.
    fn pushed(&self, registry: &Registry, binaries: &[&str], name: &str) -> String {
        let output = self.push(binaries, &format!("{}/{name}", registry.address()), None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let by_digest = said["pushed"]["by_digest"].as_str().unwrap();
        let (repository, digest) = by_digest.split_once('@').unwrap();
        assert_eq!(
            Some(repository),
            format!("{}/{name}", registry.address())
                .rsplit_once(':')
                .map(|(name, _)| name)
        );
        digest.to_string()
    }

    /// Why it was not pushed.
    fn refused(&self, name: &str) -> String {
        let output = self.push(&["amd64"], name, None);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// As Docker writes it.
fn password(password: &str) -> Value {
    json!({ "username": Registry::USER, "password": password })
}

pub fn takes_an_image_from_who_may_push() -> Result<(), NotUp> {
    let registry = Registry::up(Asks::Basic, None)?;
    let (home, name) = (Home::new(), format!("{}/team/egret-proxy:1", registry.address()));
    assert!(home.refused(&name).contains("there are no credentials for it here"));
    home.log_in(&registry, password("another"));
    let words = home.refused(&name);
    assert!(
        words.contains("does not take the credentials") && words.contains("config.json"),
        "{words}"
    );
    assert!(!words.contains("another"), "{words}");
    assert_eq!(registry.digest("team/egret-proxy", "1"), None);

    home.log_in(&registry, password(Registry::PASSWORD));
    let one = home.pushed(&registry, &["amd64"], "team/egret-proxy:1");
    assert_eq!(registry.digest("team/egret-proxy", "1").as_ref(), Some(&one));
    let manifest: Value = serde_json::from_slice(&registry.kept(&one).unwrap()).unwrap();
    for part in [&manifest["config"], &manifest["layers"][0]] {
        let kept = registry.kept(part["digest"].as_str().unwrap()).unwrap();
        assert_eq!(part["size"], kept.len());
    }
    assert_eq!(
        home.pushed(&registry, &["amd64"], "team/egret-proxy:1"),
        one,
        "the same again"
    );

    let both = home.pushed(&registry, &["arm64", "amd64"], "team/egret-proxy:2");
    assert_eq!(registry.digest("team/egret-proxy", "2").as_ref(), Some(&both));
    let index: Value = serde_json::from_slice(&registry.kept(&both).unwrap()).unwrap();
    let platforms: Vec<&Value> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| &each["platform"]["architecture"])
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    assert_eq!(index["manifests"][0]["digest"], one);
    assert_eq!(
        registry.digest("team/egret-proxy", "1"),
        Some(one),
        "another tag is left alone"
    );
    Ok(())
}

pub fn gives_tokens_to_who_may_push() -> Result<(), NotUp> {
    let registry = Registry::up(Asks::Token, None)?;
    let (home, name) = (Home::new(), format!("{}/team/egret-proxy:1", registry.address()));
    assert!(home.refused(&name).contains("there are no credentials for it here"));
    home.log_in(&registry, password("another"));
    assert!(home.refused(&name).contains("does not take the credentials"));
    home.log_in(&registry, password(Registry::PASSWORD));
    let digest = home.pushed(&registry, &["amd64"], "team/egret-proxy:1");
    assert_eq!(registry.digest("team/egret-proxy", "1"), Some(digest));
    let locked = format!("{}/locked/egret-proxy:1", registry.address());
    assert!(
        home.refused(&locked)
            .contains("locked/egret-proxy: no right to push there")
    );

    home.log_in(&registry, json!({ "identitytoken": Registry::REFRESH }));
    home.pushed(&registry, &["amd64"], "team/other:1");
    home.log_in(&registry, json!({ "identitytoken": "revoked" }));
    assert!(home.refused(&name).contains("does not take the credentials"));
    Ok(())
}

pub fn is_trusted_by_its_certificate() -> Result<(), NotUp> {
    let home = Home::new();
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
    let files = ["certificate.pem", "key.pem"].map(|name| home.path(name));
    fs::write(&files[0], certified.cert.pem()).unwrap();
    fs::write(&files[1], certified.signing_key.serialize_pem()).unwrap();
    let certificate = files[0].clone();
    let registry = Registry::up(Asks::Token, Some(files))?;
    home.log_in(&registry, password(Registry::PASSWORD));
    let name = format!("{}/team/egret-proxy:1", registry.address());
    assert!(home.refused(&name).contains("SSL_CERT_FILE"), "{}", home.refused(&name));
    let output = home.push(&["amd64"], &name, Some(&certificate));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(registry.digest("team/egret-proxy", "1").is_some());
    Ok(())
}
