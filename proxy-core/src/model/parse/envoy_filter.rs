//! The access logs of an EnvoyFilter. Its patches are Envoy's own configuration, which nobody here checks: what is not
//! understood is noted as such and is no error of the object. Names come in both spellings of protobuf's JSON.

use super::cursor::Cursor;
use crate::{
    model::{EnvoyFilter, FilterContext, FilterLog, Labels, LogFormat, LoggedTraffic},
    yaml::{Node, Value},
};

/// Envoy's own format, of a log that has none (`source/common/formatter/substitution_formatter.cc`).
const ENVOYS_OWN: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
                          %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
                          %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
                          \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"";

/// `None` for an EnvoyFilter that adds no access log.
pub fn envoy_filter(root: Cursor<'_>) -> Option<EnvoyFilter> {
    let spec = root.node.get("spec")?;
    let mut logs = Vec::new();
    for entry in items(spec.get("configPatches")) {
        let Some(value) = entry.get("patch").and_then(|patch| patch.get("value")) else {
            continue;
        };
        let context = entry.get("match").and_then(|chosen| chosen.get("context"));
        let context = match context.and_then(Node::text) {
            Some("SIDECAR_OUTBOUND") => FilterContext::Outbound,
            Some("SIDECAR_INBOUND") => FilterContext::Inbound,
            Some("GATEWAY") => FilterContext::Gateway,
            _ => FilterContext::Any,
        };
        add(value, LoggedTraffic::Listener, context, &mut logs);
    }
    let labels = spec.get("workloadSelector").and_then(|selector| selector.get("labels"));
    let labels = labels.map(Node::entries).unwrap_or_default().iter();
    let selector: Labels = labels
        .filter_map(|(key, value)| Some((key.text()?.to_string(), value.text()?.to_string())))
        .collect();
    let targeted = spec.get("targetRefs").is_some();
    (!logs.is_empty()).then_some(EnvoyFilter {
        selector,
        targeted,
        logs,
    })
}

/// Adds the access logs in `node` and below it. `of` is what the filter around it handles.
fn add(node: &Node, of: LoggedTraffic, context: FilterContext, logs: &mut Vec<FilterLog>) {
    let of = match kind(node) {
        "HttpConnectionManager" => LoggedTraffic::Http,
        "TcpProxy" => LoggedTraffic::Tcp,
        _ => of,
    };
    match &node.value {
        Value::Mapping(entries) => {
            for (key, value) in entries {
                match key.text() {
                    Some("access_log" | "accessLog") => {
                        logs.extend(items(Some(value)).iter().filter_map(|entry| log(entry, of, context)));
                    }
                    _ => add(value, of, context, logs),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| add(item, of, context, logs)),
        _ => {}
    }
}

fn log(entry: &Node, of: LoggedTraffic, context: FilterContext) -> Option<FilterLog> {
    // Istio up to 1.4 took the untyped `config`, told by the logger's name.
    let config = either(entry, "typed_config", "typedConfig").or_else(|| entry.get("config"))?;
    let name = entry.get("name").and_then(Node::text).unwrap_or_default();
    let file = match (kind(config), name) {
        ("FileAccessLog", _) | ("", "envoy.file_access_log" | "envoy.access_loggers.file") => {
            Some(config.get("path").and_then(Node::text).unwrap_or_default().to_string())
        }
        ("StdoutAccessLog", _) => Some("/dev/stdout".into()),
        ("StderrAccessLog", _) => Some("/dev/stderr".into()),
        _ => None,
    };
    Some(FilterLog {
        line: entry.span.line,
        context,
        of,
        file,
        format: format(config),
        filtered: entry.get("filter").is_some_and(|filter| !filter.is_null()),
    })
}

/// The format of a file's log: `log_format`, or the older fields beside it.
fn format(config: &Node) -> Result<LogFormat, String> {
    let format = either(config, "log_format", "logFormat").unwrap_or(config);
    let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_string);
    let json =
        either(format, "json_format", "jsonFormat").or_else(|| either(format, "typed_json_format", "typedJsonFormat"));
    if let Some(json) = json {
        return Ok(LogFormat::Json(json.to_json()));
    }
    if let Some(source) = either(format, "text_format_source", "textFormatSource") {
        return text(either(source, "inline_string", "inlineString"))
            .map(LogFormat::Text)
            .ok_or_else(|| "its text is kept in the pods (text_format_source)".into());
    }
    let written = either(format, "text_format", "textFormat").or_else(|| format.get("format"));
    match written {
        Some(written) => text(Some(written))
            .map(LogFormat::Text)
            .ok_or_else(|| "it is no text".into()),
        None => Ok(LogFormat::Text(ENVOYS_OWN.into())),
    }
}

/// The last part of a mapping's `@type`, empty where it has none.
fn kind(node: &Node) -> &str {
    let kind = node.get("@type").and_then(Node::text).unwrap_or_default();
    kind.rsplit(['.', '/']).next().unwrap_or_default()
}

fn either<'n>(node: &'n Node, snake: &str, camel: &str) -> Option<&'n Node> {
    node.get(snake)
        .or_else(|| node.get(camel))
        .filter(|node| !node.is_null())
}

fn items(node: Option<&Node>) -> &[Node] {
    node.map(Node::items).unwrap_or_default()
}
