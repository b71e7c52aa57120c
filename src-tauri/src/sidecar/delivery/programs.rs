//! The programs that an image is made of: static ones, for as many architectures as are there.

use std::path::{Path, PathBuf};

use proxy_core::image::{Architecture, Built, architecture};

use crate::{
    fault::{Fault, Result},
    sidecar::find_proxy,
};

/// Where they are, from this program's own folder: installed beside it, or built by `make proxy-image`.
const PLACES: [&str; 7] = [
    "egret-proxy-amd64",
    "egret-proxy-arm64",
    "../lib/Egret/egret-proxy-amd64",
    "../lib/Egret/egret-proxy-arm64",
    "../image/x86_64-unknown-linux-gnu/release/egret-proxy",
    "../image/aarch64-unknown-linux-gnu/release/egret-proxy",
    "egret-proxy",
];

/// The image of what is there.
pub fn built() -> Result<Built> {
    let found = found()?.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
    Built::of(&found).map_err(|fault| Fault::new("image", fault.to_string()))
}

/// Static programs, one for each architecture.
pub fn found() -> Result<Vec<(Architecture, PathBuf)>> {
    let own = std::env::current_exe().map_err(|error| Fault::new("image", error.to_string()))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let named = find_proxy().into_iter();
    let found = first_of_each(named.chain(PLACES.iter().map(|place| folder.join(place))));
    if found.is_empty() {
        return Err(
            Fault::new("image", "The egret-proxy here is linked to shared libraries, which an image has not.").hint(
                "`make proxy-image` builds a static one; or put one beside this program, as egret-proxy-amd64 or egret-proxy-arm64.",
            ),
        );
    }
    Ok(found)
}

fn first_of_each(paths: impl Iterator<Item = PathBuf>) -> Vec<(Architecture, PathBuf)> {
    let mut found: Vec<(Architecture, PathBuf)> = Vec::new();
    for path in paths {
        // What is not there, or is linked to libraries, is none.
        if let Ok(architecture) = architecture(&path)
            && !found.iter().any(|(known, _)| *known == architecture)
        {
            found.push((architecture, path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_static_program_of_each_architecture_counts() {
        let place = tempfile::tempdir().unwrap();
        // Source: elf(5); 62 is x86-64, 183 AArch64.
        let program = |name: &str, machine: u16| {
            let mut header = vec![0; 64];
            header[..6].copy_from_slice(b"\x7fELF\x02\x01");
            header[18..20].copy_from_slice(&machine.to_le_bytes());
            fs::write(place.path().join(name), header).unwrap();
        };
        program("a", 62);
        program("b", 62);
        program("c", 183);
        fs::write(place.path().join("script"), "#!/bin/sh\n").unwrap();
        let found = first_of_each(
            ["script", "nowhere", "a", "b", "c"]
                .iter()
                .map(|name| place.path().join(name)),
        );
        let names: Vec<_> = found
            .iter()
            .map(|(architecture, path)| (architecture.to_string(), path.clone()))
            .collect();
        assert_eq!(
            names,
            [
                ("amd64".into(), place.path().join("a")),
                ("arm64".into(), place.path().join("c"))
            ]
        );
    }
}
