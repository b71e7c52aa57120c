//! The texts are those of a real API server (Kubernetes 1.36) with Istio 1.31's resource definitions and webhook.

use serde_json::json;

use super::*;

fn entry(spec: Value) -> Value {
    let mut whole = json!({"hosts": ["a.com"], "resolution": "DNS",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"kind": "ServiceEntry", "metadata": {"name": "x", "namespace": "default"}, "spec": whole})
}

fn told(code: u16, message: &str, details: Value, object: &Value) -> Vec<(String, String)> {
    let status = json!({"status": "Failure", "message": message, "code": code, "details": details});
    let status: Status = serde_json::from_value(status).unwrap();
    let causes = causes(&status, object).into_iter();
    causes.map(|cause| (cause.field, cause.message)).collect()
}

fn one(field: &str, message: &str) -> Vec<(String, String)> {
    vec![(field.to_string(), message.to_string())]
}

#[test]
fn validation_names_the_field_of_each_cause() {
    let causes = json!({"kind": "ServiceEntry", "causes": [
        {"reason": "FieldValueInvalid", "message": "Invalid value: 70000: port must be between 1-65535", "field": "spec.ports[0].number"},
        {"reason": "FieldValueNotSupported", "message": "Unsupported value: \"GUESS\"", "field": "spec.resolution"},
        {"reason": "FieldValueInvalid", "message": "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation", "field": "<nil>"}]});
    let found = told(422, "is invalid: [...]", causes, &entry(json!({})));
    assert_eq!(
        found,
        [
            one(
                "spec.ports[0].number",
                "Invalid value: 70000: port must be between 1-65535"
            ),
            one("spec.resolution", "Unsupported value: \"GUESS\""),
        ]
        .concat()
    );
}

#[test]
fn server_side_apply_names_the_field_in_its_text_and_items_of_lists_by_their_keys() {
    let object = entry(json!({"ports": [{"name": "b", "number": 1}, {"name": "a", "number": "eighty"}]}));
    let typed = |said: &str| {
        let head = "failed to create typed patch object (default/x; networking.istio.io/v1, Kind=ServiceEntry): ";
        told(500, &format!("{head}{said}"), Value::Null, &object)
    };
    for (said, wanted) in [
        (
            ".spec.hostss: field not declared in schema",
            one("spec.hostss", "field not declared in schema"),
        ),
        (
            ".spec.ports[name=\"a\"].number: expected numeric (int or float), got string",
            one("spec.ports[1].number", "expected numeric (int or float), got string"),
        ),
        (
            ".spec.ports: duplicate entries for key [name=\"a\"]",
            one("spec.ports", "duplicate entries for key [name=\"a\"]"),
        ),
        (
            ".spec.hosts: expected list, got &{a.com}",
            one("spec.hosts", "expected list, got &{a.com}"),
        ),
        (
            "errors:\n  .spec.a: field not declared in schema\n  .spec.ports[name=\"gone\"].b: field not declared in schema",
            [
                one("spec.a", "field not declared in schema"),
                one("spec.ports", "field not declared in schema"),
            ]
            .concat(),
        ),
    ] {
        assert_eq!(typed(said), wanted, "{said}");
    }
}

#[test]
fn strict_decoding_names_each_field_that_it_does_not_know() {
    let said = "ServiceEntry in version \"v1\" cannot be handled as a ServiceEntry: strict decoding error: unknown field \
                \"spec.hostss\", duplicate field \"spec.ports[0].name\"";
    let wanted = [
        one("spec.hostss", "unknown field"),
        one("spec.ports[0].name", "duplicate field"),
    ]
    .concat();
    assert_eq!(told(400, said, Value::Null, &entry(json!({}))), wanted);
}

#[test]
fn istios_webhook_is_shown_where_the_one_value_or_field_stands_that_it_names() {
    let route = json!({"kind": "VirtualService", "spec": {"hosts": ["a.com"], "http": [{
        "match": [{"uri": {"regex": "["}}], "route": [{"destination": {"host": "a.com"}, "weight": -3}]}]}});
    for (object, said, wanted) in [
        (
            entry(json!({"addresses": ["1.1.1.1", "nope"]})),
            "nope is not a valid IP",
            "spec.addresses[1]",
        ),
        (
            entry(json!({"ports": [{"name": "A_b", "protocol": "HTTP"}]})),
            "invalid port name: A_b",
            "spec.ports[0].name",
        ),
        (
            entry(json!({"exportTo": [".", "default"]})),
            "duplicate entries in exportTo for entry default",
            "spec.exportTo[1]",
        ),
        (
            entry(json!({"exportTo": ["*", "."]})),
            "cannot have both public (*) and non-public exportTo values for a resource",
            "spec.exportTo[0]",
        ),
        (
            entry(json!({"exportTo": ["x"]})),
            "exportTo is not allowed",
            "spec.exportTo",
        ),
        (route.clone(), "weight -3 < 0", "spec.http[0].route[0].weight"),
        (
            route.clone(),
            "\"uri\": error parsing regexp: missing closing ]: `[`; Istio uses RE2 style regex-based match \
             (https://github.com/google/re2/wiki/Syntax)",
            "spec.http[0].match[0].uri.regex",
        ),
        // It names nothing, or what stands twice.
        (route.clone(), "HTTP route, redirect or direct_response is required", ""),
        (route, "domain name \"a.com\" is taken", ""),
        (
            entry(json!({"ports": [{"name": "a", "protocol": "FOO"}, {"name": "b", "protocol": "FOO"}]})),
            "unsupported protocol: FOO",
            "",
        ),
    ] {
        let message =
            format!("admission webhook \"validation.istio.io\" denied the request: configuration is invalid: {said}");
        let wanted = one(wanted, &format!("validation.istio.io: {said}"));
        assert_eq!(told(400, &message, Value::Null, &object), wanted);
    }
}

#[test]
fn several_errors_of_a_webhook_are_several_causes() {
    let object = entry(json!({"hosts": ["a_b!.com"]}));
    let said = "admission webhook \"validation.istio.io\" denied the request: configuration is invalid: 2 errors \
                occurred:\n\t* domain name \"a_b!.com\" invalid (label \"a_b!\" invalid)\n\t* hosts must be FQDN or \
                contain only prefix wildcards if no endpoints are provided for resolution mode DNS, domain name \
                \"a_b!.com\" invalid (label \"a_b!\" invalid)\n\n";
    let found = told(400, said, Value::Null, &object);
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["spec.hosts[0]", "spec.hosts[0]"]);
    assert_eq!(
        found[0].1,
        "validation.istio.io: domain name \"a_b!.com\" invalid (label \"a_b!\" invalid)"
    );
}

#[test]
fn a_policy_of_the_cluster_that_refuses_is_told_from_a_missing_right() {
    let object = entry(json!({}));
    let policy = "ValidatingAdmissionPolicy 'vap' with binding 'vap' denied request: none of these";
    let details = json!({"kind": "serviceentries", "causes": [{"message": policy}]});
    assert_eq!(told(422, "is forbidden", details, &object), one("", policy));
    let gatekeeper =
        "admission webhook \"validation.gatekeeper.sh\" denied the request: [egress] a.com is not on the list";
    assert_eq!(
        told(403, gatekeeper, Value::Null, &object),
        one(
            "spec.hosts[0]",
            "validation.gatekeeper.sh: [egress] a.com is not on the list"
        )
    );
    let right = "serviceentries.networking.istio.io is forbidden: User \"viewer\" cannot create resource";
    let details = json!({"kind": "serviceentries"});
    assert_eq!(told(403, right, details, &object), []);
}

#[test]
fn a_namespace_that_is_not_there_or_ends_is_a_field_too() {
    let missing = json!({"name": "nope", "kind": "namespaces"});
    let said = "namespaces \"nope\" not found";
    assert_eq!(
        told(404, said, missing, &entry(json!({}))),
        one("metadata.namespace", said)
    );
    let cause = json!({"reason": "NamespaceTerminating", "message": "namespace x is being terminated", "field": "metadata.namespace"});
    let ends = told(403, "forbidden", json!({"causes": [cause]}), &entry(json!({})));
    assert_eq!(ends, one("metadata.namespace", "namespace x is being terminated"));
}

#[test]
fn what_is_no_refusal_of_the_object_has_no_cause() {
    let object = entry(json!({}));
    let conflict = json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".spec.hosts"}]});
    assert_eq!(told(409, "Apply failed with 1 conflict", conflict, &object), []);
    let failed = "Internal error occurred: failed calling webhook \"validation.istio.io\": connection refused";
    let details = json!({"causes": []});
    assert_eq!(told(500, failed, details, &object), []);
    assert_eq!(told(401, "Unauthorized", Value::Null, &object), []);
    assert_eq!(told(400, "the object is too large", Value::Null, &object).len(), 1);
}
