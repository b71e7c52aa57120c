//! The app on a copy of the playground, with a home of its own and a kubeconfig.

use std::path::Path;

use super::session::{Session, copy_of_playground};

/// Everything that the app reads and keeps lies in `scratch`: `mesh` is its folder, `data` what it keeps.
pub fn session(scratch: &Path, kubeconfig: &Path) -> Session {
    session_with(scratch, kubeconfig, &[])
}

/// The same with more variables.
pub fn session_with(scratch: &Path, kubeconfig: &Path, more: &[(&str, &Path)]) -> Session {
    let (folder, data) = (scratch.join("mesh"), scratch.join("data"));
    copy_of_playground(&folder);
    let variables: [(&str, &Path); 6] = [
        ("EGRET_FOLDER", &folder),
        ("EGRET_DATA", &data),
        ("XDG_DATA_HOME", &data),
        ("XDG_CACHE_HOME", &data),
        ("XDG_CONFIG_HOME", &data),
        ("KUBECONFIG", kubeconfig),
    ];
    Session::start(scratch, &[&variables, more].concat())
}
