//! What routes do to requests and responses beside where they send them.

use serde_json::{Value, json};

use super::routes::destination;
use crate::seed::Seed;

/// What only routes that lead to a destination can have.
pub fn forwarded(seed: &mut Seed, route: &mut Value) {
    if seed.once_in(3) {
        // One place alone may set the Host.
        let may_set_host = !route["headers"].to_string().to_lowercase().contains("host\":");
        route["rewrite"] = rewrite(seed, may_set_host);
    }
    if seed.once_in(4) {
        route["fault"] = fault(seed);
    }
    match seed.below(8) {
        0 => {
            route["mirror"] = destination(seed);
            if seed.once_in(2) {
                route["mirrorPercentage"] = percentage(seed);
            }
            if seed.once_in(4) {
                route["mirrorPercent"] = json!(seed.pick(&[0, 10]));
            }
        }
        1 => {
            let count = seed.between(1, 2);
            let mirrors = (0..count).map(|_| {
                let mut mirror = json!({"destination": destination(seed)});
                if seed.once_in(2) {
                    mirror["percentage"] = percentage(seed);
                }
                mirror
            });
            route["mirrors"] = mirrors.collect();
        }
        _ => {}
    }
}

fn percentage(seed: &mut Seed) -> Value {
    json!({"value": seed.pick(&[0.0, 0.0001, 0.5, 12.3456, 33.3, 99.9, 100.0])})
}

fn rewrite(seed: &mut Seed, may_set_host: bool) -> Value {
    let mut rewrite = json!({});
    match seed.below(4) {
        0 => {
            let (pattern, by) = *seed.pick(&[
                ("^/api", "/v2"),
                ("/([a-z]+)", "/\\\\1/\\\\0$1"),
                ("[0-9]*", "x"),
                ("^/(.*)/(.*)$", "/\\2/\\1"),
                ("o", "\\0\\0"),
            ]);
            rewrite["uriRegexRewrite"] = json!({"match": pattern, "rewrite": by});
        }
        1 if may_set_host => {}
        _ => rewrite["uri"] = json!(seed.text(&["/", "/new", "/new/"])),
    }
    if may_set_host && (rewrite == json!({}) || seed.once_in(3)) {
        rewrite["authority"] = json!(seed.text(&["new.com", "new.com:8080"]));
    }
    rewrite
}

fn fault(seed: &mut Seed) -> Value {
    let mut fault = json!({});
    if seed.once_in(2) {
        fault["delay"] = json!({"fixedDelay": seed.text(&["5s", "250ms"])});
        if seed.below(4) > 0 {
            fault["delay"]["percentage"] = percentage(seed);
        } else if seed.once_in(2) {
            fault["delay"]["percent"] = json!(10);
        }
    }
    if fault == json!({}) || seed.once_in(2) {
        fault["abort"] = json!({"httpStatus": seed.pick(&[200, 404, 503, 599])});
        if seed.once_in(6) {
            fault["abort"] = json!({"grpcStatus": seed.text(&["UNAVAILABLE", "OK"])});
        }
        if seed.below(4) > 0 {
            fault["abort"]["percentage"] = percentage(seed);
        }
    }
    fault
}

/// Edits of headers, of which one may set the Host.
pub fn headers(seed: &mut Seed, may_set_host: bool) -> Value {
    let mut headers = json!({});
    if seed.below(3) > 0 {
        headers["request"] = operations(seed);
        if may_set_host && seed.once_in(5) {
            let (list, name) = *seed.pick(&[
                ("set", "Host"),
                ("set", ":authority"),
                ("add", "host"),
                ("add", ":Authority"),
            ]);
            headers["request"][list][name] = json!(seed.text(&["set.com", "set.com", ""]));
        }
    }
    if headers == json!({}) || seed.once_in(2) {
        headers["response"] = operations(seed);
    }
    headers
}

fn operations(seed: &mut Seed) -> Value {
    let mut operations = json!({});
    for list in ["set", "add"] {
        if seed.once_in(2) {
            let count = seed.between(1, 3);
            for _ in 0..count {
                let name = seed.text(&["x-one", "X-Two", "x-three", "user-agent", "server"]);
                let value = seed.text(&[
                    "v1",
                    "",
                    "100%%",
                    "%PROTOCOL% and %REQ(X-One?:PATH)%",
                    "%START_TIME(%s)%",
                    "%HOSTNAME%",
                ]);
                operations[list][name] = json!(value);
            }
        }
    }
    if seed.once_in(3) {
        let count = seed.between(1, 2);
        operations["remove"] = json!(seed.texts(&["x-one", "X-Two", "cookie"], count));
    }
    operations
}

/// Answers to cross-origin requests.
pub fn cors(seed: &mut Seed) -> Value {
    let count = seed.between(1, 2);
    let origins: Vec<Value> = (0..count)
        .map(|_| match seed.below(3) {
            0 => json!({"exact": "http://a.com"}),
            1 => json!({"prefix": "http://"}),
            _ => json!({"regex": "https?://.*[.]com"}),
        })
        .collect();
    let mut cors = json!({"allowOrigins": origins});
    if seed.once_in(4) {
        cors = json!({"allowOrigin": ["*", "http://b.com"]});
    }
    if seed.once_in(2) {
        let count = seed.between(1, 2);
        cors["allowMethods"] = json!(seed.texts(&["GET", "POST", "*"], count));
    }
    if seed.once_in(2) {
        cors["allowHeaders"] = json!(["x-one", "*"]);
    }
    if seed.once_in(2) {
        cors["exposeHeaders"] = json!(["x-two"]);
    }
    if seed.once_in(2) {
        cors["maxAge"] = json!(seed.text(&["24h", "1m", "1s"]));
    }
    if seed.once_in(3) {
        cors["allowCredentials"] = json!(seed.once_in(2));
    }
    if seed.once_in(3) {
        cors["unmatchedPreflights"] = json!(seed.text(&["UNSPECIFIED", "FORWARD", "IGNORE"]));
    }
    cors
}
