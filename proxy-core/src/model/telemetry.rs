//! Telemetry: who writes an access log, and in which format.

use serde_json::Value;

use super::Labels;

/// What an access log is written as.
#[derive(Debug, Clone, PartialEq)]
pub enum LogFormat {
    /// Text with Envoy's command operators in it.
    Text(String),
    /// A JSON object whose values are such texts.
    Json(Value),
}

/// What the mesh config says of access logs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessLog {
    /// `accessLogFile`; empty switches it off where no Telemetry speaks.
    pub file: String,
    /// `accessLogFormat` in the encoding of `accessLogEncoding`; `None` for Istio's own.
    pub format: Option<LogFormat>,
    /// `extensionProviders`.
    pub providers: Vec<LogProvider>,
    /// `defaultProviders.accessLogging`.
    pub default_providers: Vec<String>,
}

/// One of `extensionProviders`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProvider {
    /// Its name.
    pub name: String,
    /// `envoyFileAccessLog.path`; `None` for a provider of another kind.
    pub file: Option<String>,
    /// `envoyFileAccessLog.logFormat`; `None` for Istio's own.
    pub format: Option<LogFormat>,
}

/// Spec of a Telemetry, as far as access logs go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Telemetry {
    /// `selector.matchLabels`; empty for the whole namespace.
    pub selector: Labels,
    /// It is for a Gateway, Service or waypoint (`targetRefs`), and so for no sidecar.
    pub targeted: bool,
    /// `accessLogging`.
    pub access_logging: Vec<AccessLogging>,
}

/// One of `accessLogging`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessLogging {
    /// Names of the providers; empty takes those of the wider scope.
    pub providers: Vec<String>,
    /// `disabled`.
    pub disabled: bool,
    /// It holds for what comes in only (`match.mode: SERVER`).
    pub inbound_only: bool,
    /// `filter.expression`, empty for every line.
    pub filter: String,
}
