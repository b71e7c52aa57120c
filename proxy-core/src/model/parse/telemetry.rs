//! Telemetry, and what the mesh config says of access logs.

use super::cursor::Cursor;
use crate::model::{AccessLog, AccessLogging, LogFormat, LogProvider, Telemetry};

/// Where a provider without a path writes.
const STDOUT: &str = "/dev/stdout";

/// Spec of a Telemetry, as far as access logs go.
pub fn telemetry(root: Cursor<'_>) -> Telemetry {
    let Some(spec) = root.mapping("spec") else {
        return Telemetry::default();
    };
    Telemetry {
        selector: spec
            .mapping("selector")
            .map(|selector| selector.labels("matchLabels"))
            .unwrap_or_default(),
        targeted: spec.has("targetRef") || spec.has("targetRefs"),
        access_logging: spec.list("accessLogging", |logging| {
            Some(AccessLogging {
                providers: logging.list("providers", |provider| provider.text("name").map(str::to_string)),
                disabled: logging.boolean("disabled").unwrap_or(false),
                inbound_only: logging.mapping("match").and_then(|chosen| chosen.text("mode")) == Some("SERVER"),
                filter: logging
                    .mapping("filter")
                    .and_then(|filter| filter.text("expression"))
                    .unwrap_or_default()
                    .to_string(),
            })
        }),
    }
}

/// The access log part of a mesh config. Istio falls back to its own format where a JSON format is none.
pub fn access_log(mesh: Cursor<'_>) -> AccessLog {
    let json = mesh.text("accessLogEncoding") == Some("JSON");
    let format = mesh.text("accessLogFormat").filter(|text| !text.is_empty());
    AccessLog {
        file: mesh.text("accessLogFile").unwrap_or_default().to_string(),
        format: format.and_then(|text| match json {
            true => serde_json::from_str(text).ok().map(LogFormat::Json),
            false => Some(LogFormat::Text(text.to_string())),
        }),
        providers: mesh.list("extensionProviders", provider),
        default_providers: mesh
            .mapping("defaultProviders")
            .map(|providers| providers.texts("accessLogging"))
            .unwrap_or_default(),
    }
}

fn provider(provider: Cursor<'_>) -> Option<LogProvider> {
    let name = provider.text("name")?.to_string();
    let file = provider.mapping("envoyFileAccessLog");
    let format = file.and_then(|file| {
        let format = file.mapping("logFormat")?;
        let labels = format.node.get("labels").filter(|labels| !labels.is_null());
        match (format.text("text"), labels) {
            (Some(text), _) => Some(LogFormat::Text(text.to_string())),
            (None, Some(labels)) => Some(LogFormat::Json(labels.to_json())),
            (None, None) => None,
        }
    });
    Some(LogProvider {
        name,
        file: file.map(|file| file.text("path").unwrap_or(STDOUT).to_string()),
        format,
    })
}
