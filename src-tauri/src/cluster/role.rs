//! The table of permissions as objects: the Role that a person who lacks something can hand to an administrator, and the
//! roles that are documented.

use proxy_core::yaml;
use serde_json::{Value, json};

use super::rights::Access;
#[cfg(test)]
use super::{
    kinds::ROOT_NAMESPACE,
    rights::{Needs, Role, TABLE},
};

/// A Role, or a ClusterRole without `namespace`, with what `accesses` name, bound to `who`.
pub(super) fn role_for(name: &str, accesses: &[Access], namespace: Option<&str>, who: Option<&str>) -> String {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let name = format!("egret-{name}");
    let mut documents = vec![role(&name, namespace, rules(accesses))];
    if let Some(who) = who {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{kind}Binding"),
            "metadata": metadata(&name, namespace),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [subject(who)],
        });
        documents.push(binding);
    }
    joined(&documents)
}

/// The documented roles, each adding to the one before: for all namespaces, and for Istio's own.
#[cfg(test)]
pub(super) fn documented() -> String {
    let mut documents = Vec::new();
    for wanted in [Role::Viewer, Role::Editor, Role::Operator, Role::Secrets] {
        let name = wanted.name();
        let lines = TABLE.iter().filter(|needs| needs.role == wanted);
        let (own, all): (Vec<Access>, Vec<Access>) = lines.flat_map(Needs::accesses).partition(|access| access.at_home);
        documents.push(role(name, None, rules(&all)));
        if !own.is_empty() {
            documents.push(role(name, Some(ROOT_NAMESPACE), rules(&own)));
        }
    }
    joined(&documents)
}

fn role(name: &str, namespace: Option<&str>, rules: Vec<Value>) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": if namespace.is_some() { "Role" } else { "ClusterRole" },
        "metadata": metadata(name, namespace),
        "rules": rules,
    })
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    match namespace {
        Some(namespace) => json!({"name": name, "namespace": namespace}),
        None => json!({"name": name}),
    }
}

/// One rule for all resources of a group that have the same verbs.
fn rules(accesses: &[Access]) -> Vec<Value> {
    let mut resources: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for access in accesses {
        let known = resources
            .iter_mut()
            .find(|(group, resource, _)| (*group, *resource) == (access.group, access.resource));
        match known {
            Some((_, _, verbs)) if verbs.contains(&access.verb) => {}
            Some((_, _, verbs)) => verbs.push(access.verb),
            None => resources.push((access.group, access.resource, vec![access.verb])),
        }
    }
    let mut rules: Vec<(&str, Vec<&str>, Vec<&str>)> = Vec::new();
    for (group, resource, verbs) in resources {
        match rules.iter_mut().find(|rule| rule.0 == group && rule.2 == verbs) {
            Some(rule) => rule.1.push(resource),
            None => rules.push((group, vec![resource], verbs)),
        }
    }
    rules
        .into_iter()
        .map(|(group, resources, verbs)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs}))
        .collect()
}

/// As the API server names a person, so that a binding means them.
fn subject(who: &str) -> Value {
    let account = who
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        None => json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}),
    }
}

fn joined(documents: &[Value]) -> String {
    let texts: Vec<_> = documents.iter().map(yaml::write).collect();
    texts.join("---\n")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::{
        super::rights::{Feature, in_words},
        *,
    };

    #[test]
    fn a_role_holds_what_is_missing_and_is_bound_to_the_person() {
        let accesses = Feature::WriteServiceEntries.needs().accesses();
        let text = role_for("write-service-entries", &accesses, Some("shop"), Some("jane"));
        let documents = yaml::read(text.as_bytes()).unwrap();
        let (role, binding) = (documents[0].to_json(), documents[1].to_json());
        assert_eq!(
            (&role["kind"], &role["metadata"]["namespace"]),
            (&json!("Role"), &json!("shop"))
        );
        assert_eq!(
            role["rules"],
            json!([{"apiGroups": ["networking.istio.io"], "resources": ["serviceentries"],
                "verbs": ["get", "create", "update", "patch", "delete"]}])
        );
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        assert_eq!(binding["subjects"][0]["name"], "jane");
        let account = role_for("x", &accesses, None, Some("system:serviceaccount:ci:bot"));
        let mixed = role_for("x", &Feature::SeePolicy.needs().accesses(), None, None);
        assert!(mixed.contains("kind: ClusterRole\n"), "{mixed}");
        assert!(
            account.contains("kind: ClusterRoleBinding") && account.contains("namespace: ci"),
            "{account}"
        );
    }

    /// `EGRET_WRITE_ROLES=1` writes them again.
    #[test]
    fn the_documented_roles_and_the_readme_say_what_the_table_says() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let roles = here.join("deploy/roles.yaml");
        let head =
            "# What Egret needs in a cluster. Each role adds to the one before: bind as many as a person is to have.\n";
        let fresh = format!("{head}{}", documented());
        let readme = here.join("../README.md");
        let text = fs::read_to_string(&readme).unwrap();
        let rows: String = TABLE
            .iter()
            .map(|needs| {
                let place = match (needs.at_home(), needs.rules.iter().any(|rule| rule.at_home)) {
                    (true, _) => format!(" in `{ROOT_NAMESPACE}`"),
                    (false, true) => format!("; the configmaps only in `{ROOT_NAMESPACE}`"),
                    (false, false) => String::new(),
                };
                let role = needs.role.name();
                format!(
                    "| {} | `{}`{place} | `{role}` |\n",
                    needs.words,
                    in_words(&needs.accesses())
                )
            })
            .collect();
        let head_of_table = "| what | permissions | role |\n| --- | --- | --- |\n";
        let (before, rest) = text.split_once(head_of_table).unwrap();
        let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
        let same = rest[..end] == rows;
        if env::var_os("EGRET_WRITE_ROLES").is_some() {
            fs::create_dir_all(roles.parent().unwrap()).unwrap();
            fs::write(&roles, &fresh).unwrap();
            fs::write(&readme, format!("{before}{head_of_table}{rows}{}", &rest[end..])).unwrap();
            return;
        }
        let again = "run `EGRET_WRITE_ROLES=1 cargo test -p egret documented_roles`";
        assert!(same, "the README's table is stale; {again}");
        assert!(
            fs::read_to_string(&roles).unwrap() == fresh,
            "deploy/roles.yaml is stale; {again}"
        );
    }
}
