use serde_json::{Value, json};

use super::*;

fn made(container: Value, secrets: bool) -> Environment {
    let template: PodTemplateSpec = serde_json::from_value(json!({
        "metadata": {"labels": {"app": "cart"}},
        "spec": {"serviceAccountName": "robot", "containers": [{"name": "istio-proxy"}, container]}}))
    .unwrap();
    let map = |name: &str, pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.as_bytes().to_vec()));
        (name.to_string(), Some(pairs.collect()))
    };
    let maps = [map("settings", &[("A", "1"), ("B", "2")])].into();
    let kept = [map("db", &[("password", "s3cret")])].into();
    let pod = OfPod {
        name: "cart-sandbox".into(),
        namespace: "shop".into(),
        template: &template,
    };
    gathered(container_of(&template), &pod, &maps, secrets.then_some(&kept))
}

fn container_of(template: &PodTemplateSpec) -> &Container {
    container(template).unwrap()
}

#[test]
fn variables_are_put_together_as_the_kubelet_does() {
    let made = made(
        json!({"name": "app",
            "envFrom": [{"prefix": "X_", "configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "gone"}}],
            "env": [
                {"name": "X_A", "value": "own"},
                {"name": "URL", "value": "http://$(X_A):$(NO)/$$(X_B)$"},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "B"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "C", "optional": true}}},
                {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "D"}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "PATH", "value": "/app/bin"}]}),
        false,
    );
    let all: Vec<_> = made
        .variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        all,
        [
            "APP=cart",
            "B=2",
            "POD=cart-sandbox",
            "URL=http://own:$(NO)/$(X_B)$",
            "WHO=robot",
            "X_A=own",
            "X_B=2"
        ]
    );
    let left: Vec<_> = made
        .left_out
        .iter()
        .map(|each| each.split([':', ',']).next().unwrap())
        .collect();
    assert_eq!(left, ["all of ConfigMap gone", "D", "NODE", "PATH"]);
}

#[test]
fn secrets_are_taken_only_where_they_are_wanted() {
    let container = json!({"name": "app", "envFrom": [{"secretRef": {"name": "db"}}],
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]});
    let without = made(container.clone(), false);
    assert!(without.variables.is_empty());
    assert_eq!(without.left_out.len(), 2, "{:?}", without.left_out);
    let with = made(container, true);
    assert_eq!(with.variables["PASSWORD"], "s3cret");
    assert_eq!(with.variables["password"], "s3cret");
}
