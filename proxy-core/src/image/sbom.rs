//! What the program is built from, as CycloneDX: kept beside the code, since a program does not know its own parts, and
//! compared with what cargo says by a test.

/// The document that every image carries.
pub const DOCUMENT: &str = include_str!("sbom.json");

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

    use serde_json::{Value, json};

    /// Crates in the program, each with its version and licence; not what only builds or tests it.
    fn crates(here: &Path) -> BTreeSet<(String, String, String)> {
        let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--package=proxy-core",
                "--edges=normal,no-proc-macro",
            ])
            .args([
                "--target=x86_64-unknown-linux-gnu",
                "--prefix=none",
                "--format={p}|{l}|",
            ])
            .current_dir(here)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines
            .lines()
            .map(|line| {
                let (package, licence) = line.split_once('|').unwrap();
                let (name, version) = package.split_once(" v").unwrap();
                let version = version.split(' ').next().unwrap();
                // The older way to write a choice.
                let licence = licence
                    .split('|')
                    .next()
                    .unwrap()
                    .replace(" OR ", "/")
                    .replace('/', " OR ");
                (name.to_string(), version.to_string(), licence)
            })
            .filter(|(name, ..)| name != "proxy-core")
            .collect()
    }

    fn component((name, version, licence): &(String, String, String)) -> Value {
        json!({
            "type": "library",
            "name": name,
            "version": version,
            "licenses": [{"expression": licence}],
            "purl": format!("pkg:cargo/{name}@{version}"),
        })
    }

    /// `EGRET_WRITE_SBOM=1` writes it again.
    #[test]
    fn the_list_of_parts_is_what_cargo_builds() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut components: Vec<Value> = crates(here).iter().map(component).collect();
        assert!(components.len() > 50, "{components:?}");
        // Linked in by the toolchain and the system, which no lock file names.
        components
            .push(json!({"type": "library", "name": "rust-std", "licenses": [{"expression": "MIT OR Apache-2.0"}]}));
        components.push(json!({"type": "library", "name": "glibc", "licenses": [{"expression": "LGPL-2.1-or-later"}]}));
        let fresh = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": {
                "type": "application",
                "name": "egret-proxy",
                "version": env!("CARGO_PKG_VERSION"),
                "licenses": [{"expression": env!("CARGO_PKG_LICENSE")}],
            }},
            "components": components,
        });
        if env::var_os("EGRET_WRITE_SBOM").is_some() {
            // A line for each part.
            let text = fresh.to_string().replace("{\"licenses\"", "\n{\"licenses\"");
            fs::write(here.join("src/image/sbom.json"), text + "\n").unwrap();
            return;
        }
        let kept: Value = serde_json::from_str(super::DOCUMENT).unwrap();
        let again = "run `EGRET_WRITE_SBOM=1 cargo test -p proxy-core list_of_parts`";
        assert!(kept == fresh, "proxy-core/src/image/sbom.json is stale; {again}");
    }
}
