//! Parts of an `http[]` entry that the engine does not act on yet: nothing is kept of them, but wrong values are found as
//! Istio's validation finds them.

use super::cursor::Cursor;

pub fn check(route: Cursor<'_>) {
    if let Some(fault) = route.mapping("fault") {
        self::fault(fault);
    }
    if let Some(rewrite) = route.mapping("rewrite") {
        self::rewrite(rewrite);
    }
    if let Some(headers) = route.mapping("headers") {
        self::headers(headers);
    }
    let beyond = |percentage: Cursor<'_>| {
        let value = percentage.number("value").unwrap_or_default();
        !(0.0..=100.0).contains(&value)
    };
    if let Some(percentage) = route
        .mapping("mirrorPercentage")
        .filter(|percentage| beyond(*percentage))
    {
        percentage.error("mirror_percentage must be between 0 and 100");
    }
    if route.has("mirror") && route.has("mirrors") {
        route.error_at("mirrors", "HTTP route cannot contain both mirror and mirrors");
    }
}

fn fault(fault: Cursor<'_>) {
    let (abort, delay) = (fault.mapping("abort"), fault.mapping("delay"));
    if abort.is_none() && delay.is_none() {
        fault.error("HTTP fault injection must have an abort and/or a delay");
    }
    for part in [abort, delay].into_iter().flatten() {
        if let Some(percentage) = part.mapping("percentage") {
            let value = percentage.number("value").unwrap_or_default();
            if !(0.0..=100.0).contains(&value) || value > 0.0 && value < 0.0001 {
                percentage.error("percentage is neither 0.0, nor in range [0.0001, 100.0]");
            }
        }
    }
    if let Some(abort) = abort
        && let Some(status) = abort.count("httpStatus")
        && !(200..=600).contains(&status)
    {
        abort.error_at("httpStatus", format!("HTTP status {status} is not in range 200-599"));
    }
    if let Some(delay) = delay {
        delay.duration("fixedDelay");
        if delay.has("exponentialDelay") {
            delay.error_at("exponentialDelay", "exponentialDelay not supported yet");
        }
    }
}

fn rewrite(rewrite: Cursor<'_>) {
    let written = |key| rewrite.text(key).is_some_and(|text| !text.is_empty());
    let (uri, regex) = (written("uri"), rewrite.mapping("uriRegexRewrite"));
    if uri && regex.is_some() {
        rewrite.error("rewrite may only contain one of URI or UriRegexRewrite");
    }
    if !uri && regex.is_none() && !written("authority") {
        rewrite.error("rewrite must specify at least one of URI, UriRegexRewrite, or authority");
    }
    if let Some(regex) = regex {
        let pattern = regex.text("match").unwrap_or_default();
        if pattern.is_empty() || regex.text("rewrite").unwrap_or_default().is_empty() {
            regex.error("UriRegexRewrite requires both Rewrite and Match fields to be specified");
        } else if regex::Regex::new(pattern).is_err() {
            regex.error_at("match", "not a regular expression");
        }
    }
}

fn headers(headers: Cursor<'_>) {
    for direction in ["request", "response"] {
        let Some(own) = headers.mapping(direction) else {
            continue;
        };
        let authority = |name: &str| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host");
        let internal = |name: &str| name.starts_with(':') || name.eq_ignore_ascii_case("host");
        let refused = |name: &str, set: bool| {
            name.is_empty() || internal(name) && !(set && direction == "request" && authority(name))
        };
        for key in ["set", "add"] {
            own.pairs(key, |name, value| {
                if refused(name, true) {
                    value.error(format!("invalid header {name:?}: it cannot be set"));
                }
                Some(())
            });
        }
        own.list("remove", |name| {
            if name.as_text().is_some_and(|name| refused(name, false)) {
                name.error("this header cannot be removed");
            }
            Some(())
        });
    }
}
