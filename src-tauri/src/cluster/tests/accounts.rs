//! People with the documented roles.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Once,
};

use egret_tests::mesh::Api;

static ROLES: Once = Once::new();

/// A kubeconfig like that of `api`, with `user` as its user.
pub fn kubeconfig_of(api: &Path, file: &Path, user: &str) -> PathBuf {
    let text = fs::read_to_string(api).unwrap();
    let (before, rest) = text.split_once("  user: {").unwrap();
    let (_, after) = rest.split_once("}\n").unwrap();
    fs::write(file, format!("{before}  user: {user}\n{after}")).unwrap();
    file.to_path_buf()
}

/// A ServiceAccount with the roles that are documented: `all` of them in all namespaces, `own` as namespace and role.
pub fn account(api: &Api, name: &str, all: &[&str], own: &[(&str, &str)]) -> String {
    ROLES.call_once(|| api.apply(&include_str!("../../../deploy/roles.yaml").replace("egret-", "documented-")));
    api.apply(&format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: default}}\n"
    ));
    let subject = format!("--serviceaccount=default:{name}");
    for role in all {
        let binding = format!("{name}-{role}");
        let role = format!("--clusterrole=documented-{role}");
        api.text(&["create", "clusterrolebinding", &binding, &role, &subject]);
    }
    for (namespace, role) in own {
        let binding = format!("{name}-{role}");
        let kind = if *namespace == "istio-system" {
            "role"
        } else {
            "clusterrole"
        };
        let role = format!("--{kind}=documented-{role}");
        api.text(&["create", "rolebinding", &binding, "-n", namespace, &role, &subject]);
    }
    api.text(&["create", "token", name]).trim().to_string()
}
