//! Reads what a mesh's sidecars log, whatever its format: the one that the mesh is told to write, made into a reader, and
//! those that Istio's releases write by themselves.

mod flow;
mod istio;
mod json;
mod mixer;
mod operator;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{FlowRecord, FlowWorkload, Token};
use crate::model::{EnvoyFilter, LogFormat, Object, World};
use json::JsonFormat;
use operator::Field;
use text::{Quotes, TextFormat};
use values::Values;

static ISTIO: LazyLock<Vec<Format>> = LazyLock::new(|| {
    let text = istio::TEXT
        .iter()
        .map(|(name, format)| (*name, LogFormat::Text((*format).into())));
    let json = std::iter::once(("Istio's JSON format", LogFormat::Json(istio::json())));
    text.chain(json)
        .filter_map(|(name, format)| Format::compile(name, &format).ok())
        .collect()
});

static UNKNOWN: LazyLock<Arc<str>> =
    LazyLock::new(|| "The mesh's configuration has no format that fits them, and Istio's own does not.".into());

/// What one line of a sidecar's output is.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A flow that left the workload.
    Flow(Box<FlowRecord>),
    /// A line of the access log about what came in.
    Inbound,
    /// A line of the access log that cannot be read, with the reason for a person.
    Unread(Arc<str>),
    /// Something else that the sidecar says.
    Other,
}

/// The formats that a mesh's sidecars may write.
#[derive(Debug, Default)]
pub struct Formats {
    own: Vec<(Scope, Format)>,
    /// Why a format could not be made into a reader.
    broken: Vec<(Scope, Arc<str>)>,
}

/// Whose sidecars write a format.
#[derive(Debug)]
enum Scope {
    /// Any.
    Mesh,
    /// Those that an EnvoyFilter selects; the mesh's root namespace beside it.
    Filter(Arc<Object<EnvoyFilter>>, Arc<str>),
}

impl Scope {
    fn holds_for(&self, workload: &FlowWorkload) -> bool {
        match self {
            Self::Mesh => true,
            Self::Filter(filter, root) => filter.selects(root, &workload.namespace, &workload.labels),
        }
    }
}

#[derive(Debug)]
struct Format {
    reader: Reader,
    /// It names routes.
    has_route: bool,
    /// Why its lines tell too little, where they do.
    lacks: Option<Arc<str>>,
}

#[derive(Debug)]
enum Reader {
    Text(TextFormat),
    Json(JsonFormat),
}

impl Formats {
    /// Readers for what the mesh is told to write, each with what a person calls it. Istio's own formats come after them.
    pub fn new<'f>(written: impl IntoIterator<Item = (&'f str, &'f LogFormat)>) -> Self {
        let mut formats = Self::default();
        for (name, format) in written {
            formats.add(Scope::Mesh, name, Ok(format));
        }
        formats
    }

    /// Readers for what `world` says: its mesh configs, their providers, and EnvoyFilters for the pods that they select.
    pub fn of(world: &World) -> Self {
        let mut formats = Self::default();
        for mesh in &world.mesh_configs {
            let map = format!("ConfigMap {}/{}", mesh.meta.namespace, mesh.meta.name);
            let log = &mesh.spec.access_log;
            if let Some(format) = &log.format {
                formats.add(Scope::Mesh, &format!("accessLogFormat of {map}"), Ok(format));
            }
            for provider in &log.providers {
                if let Some(format) = &provider.format {
                    let name = format!("the format of provider {} of {map}", provider.name);
                    formats.add(Scope::Mesh, &name, Ok(format));
                }
            }
        }
        let root = world.root_namespace();
        for filter in &world.envoy_filters {
            let name = format!(
                "the format of EnvoyFilter {}/{}",
                filter.meta.namespace, filter.meta.name
            );
            for log in filter.spec.logs.iter().filter(|log| log.file.is_some()) {
                let scope = Scope::Filter(filter.clone(), root.into());
                formats.add(scope, &name, log.format.as_ref().map_err(String::as_str));
            }
        }
        formats
    }

    fn add(&mut self, scope: Scope, name: &str, format: Result<&LogFormat, &str>) {
        let compiled = format
            .map_err(str::to_string)
            .and_then(|format| Format::compile(name, format));
        match compiled {
            Ok(format) => self.own.push((scope, format)),
            Err(why) => self
                .broken
                .push((scope, format!("{name} cannot be read: {why}.").into())),
        }
    }

    /// Reads one line that `workload`'s sidecar wrote at `received` (RFC 3339), without its newline.
    pub fn read(&self, line: &str, workload: &Arc<FlowWorkload>, received: &str) -> Line {
        let line = line.trim_end();
        let json = json_of(line);
        let mut unread = None;
        // A line that one format fits as it is needs no other one that fits it with quotation marks inside.
        for quotes in [Quotes::Strict, Quotes::Lenient] {
            let own = self.own.iter().filter(|(scope, _)| scope.holds_for(workload));
            for format in own.map(|(_, format)| format).chain(ISTIO.iter()) {
                let Some(values) = format.values(line, json.as_ref(), quotes) else {
                    continue;
                };
                if let Some(lacks) = &format.lacks {
                    // Another format may fit the line too, and say more.
                    unread.get_or_insert(lacks);
                    continue;
                }
                return match flow::flow(&values, format.has_route, workload, received) {
                    Some(record) => with_line(record, line),
                    None => Line::Inbound,
                };
            }
        }
        if let Some(entry) = json.as_ref().filter(|json| mixer::is_entry(json)) {
            return mixer::flow(entry).map_or(Line::Inbound, |record| with_line(record, line));
        }
        match unread {
            Some(lacks) => Line::Unread(lacks.clone()),
            None if !looks_like_access_log(line) => Line::Other,
            None if line.contains("inbound|") || line.contains("Inbound") => Line::Inbound,
            None => {
                let mut broken = self.broken.iter();
                let why = broken.find(|(scope, _)| scope.holds_for(workload));
                Line::Unread(why.map_or(&*UNKNOWN, |(_, why)| why).clone())
            }
        }
    }
}

impl Formats {
    /// What a line says, field by field; nothing where no format fits.
    pub fn tokens(&self, line: &str) -> Vec<Token> {
        let line = line.trim_end();
        let json = json_of(line);
        let read = |quotes| {
            let mut formats = self.own.iter().map(|(_, format)| format).chain(ISTIO.iter());
            formats.find_map(|format| format.values(line, json.as_ref(), quotes))
        };
        let values = read(Quotes::Strict).or_else(|| read(Quotes::Lenient));
        let said = |field: &Field| {
            let value = values.as_ref()?.owned(*field)?;
            let (name, meaning) = field.described();
            Some(Token { name, value, meaning })
        };
        Field::ALL.iter().filter_map(said).collect()
    }
}

impl Format {
    fn compile(name: &str, format: &LogFormat) -> Result<Self, String> {
        let reader = match format {
            LogFormat::Text(format) => Reader::Text(TextFormat::compile(format)?),
            LogFormat::Json(format) => Reader::Json(JsonFormat::compile(format)?),
        };
        let fields = match &reader {
            Reader::Text(format) => format.fields().to_vec(),
            Reader::Json(format) => format.fields(),
        };
        Ok(Self {
            has_route: fields.contains(&Field::Route),
            lacks: lacks(name, &fields).map(Into::into),
            reader,
        })
    }

    fn values<'l>(&self, line: &'l str, json: Option<&'l Map<String, Value>>, quotes: Quotes) -> Option<Values<'l>> {
        match &self.reader {
            Reader::Text(format) => format.read(line, quotes),
            Reader::Json(format) => format.read(json?),
        }
    }
}

/// What is missing for a verdict and a destination.
fn lacks(name: &str, fields: &[Field]) -> Option<String> {
    let named = [
        Field::Authority,
        Field::Sni,
        Field::LocalAddress,
        Field::LocalIp,
        Field::UpstreamHost,
    ];
    let cluster = "the upstream cluster (%UPSTREAM_CLUSTER%), which tells the verdict";
    let host = "the host (%REQ(:AUTHORITY)%, %REQUESTED_SERVER_NAME% or %DOWNSTREAM_LOCAL_ADDRESS%)";
    let missing = match (
        fields.contains(&Field::Cluster),
        named.iter().any(|field| fields.contains(field)),
    ) {
        (true, true) => return None,
        (true, false) => host.to_string(),
        (false, true) => cluster.to_string(),
        (false, false) => format!("{host} and {cluster}"),
    };
    Some(format!("{name} lacks {missing}."))
}

fn with_line(record: FlowRecord, line: &str) -> Line {
    let line = line.to_string();
    Line::Flow(Box::new(FlowRecord { line, ..record }))
}

fn json_of(line: &str) -> Option<Map<String, Value>> {
    line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
}

/// A line that looks like one of an access log. Envoy's own log begins with a date in brackets too, but with a blank in it.
fn looks_like_access_log(line: &str) -> bool {
    line.starts_with('[') && line.as_bytes().get(11) == Some(&b'T')
        || line.starts_with('{') && line.contains("\"response_code\"")
}
