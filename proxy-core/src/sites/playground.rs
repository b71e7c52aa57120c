//! The playground's manifests, carried in the binary so that a tour runs anywhere.

use std::{fs, io, path::Path};

/// File names with their text.
pub const MANIFESTS: [(&str, &str); 5] = [
    ("mesh.yaml", include_str!("../../examples/playground/mesh.yaml")),
    ("injector.yaml", include_str!("../../examples/playground/injector.yaml")),
    (
        "namespaces.yaml",
        include_str!("../../examples/playground/namespaces.yaml"),
    ),
    ("sleep.yaml", include_str!("../../examples/playground/sleep.yaml")),
    ("api.yaml", include_str!("../../examples/playground/api.yaml")),
];

/// Writes the manifests into `folder`.
pub fn write_playground(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in MANIFESTS {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_playground_is_the_one_in_the_repository() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/playground");
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".yaml"))
            .collect();
        names.sort();
        let mut embedded: Vec<_> = MANIFESTS.iter().map(|(name, _)| name.to_string()).collect();
        embedded.sort();
        assert_eq!(names, embedded);
    }
}
