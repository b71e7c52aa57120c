//! Kubeconfigs, their contexts, and what a person may do behind them. Paths and credentials stay on the other side.

use serde::Serialize;
use ts_rs::TS;

use crate::{
    cluster::{self, Facts, Feature, Reach},
    fault::Fault,
};

/// A kubeconfig with its contexts.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct KubeconfigRow {
    /// Names it in commands.
    pub id: String,
    /// Its file name; `null` for the default one.
    pub name: Option<String>,
    pub contexts: Vec<ContextRow>,
    /// Why it cannot be read.
    pub fault: Option<Fault>,
}

/// A context of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ContextRow {
    pub name: String,
    pub server: String,
    pub user: String,
    pub insecure: bool,
    pub plugin: Option<String>,
    pub current: bool,
    pub production: bool,
    /// Namespaces that were named for it, to be looked at where not all may be.
    pub namespaces: Vec<String>,
    /// Its program must be allowed first.
    pub asks: bool,
    /// It is the open cluster's.
    pub open: bool,
    /// Another window has it.
    pub elsewhere: bool,
    /// It is open, and the file says something else of it now.
    pub changed: bool,
}

impl From<cluster::Context> for ContextRow {
    fn from(context: cluster::Context) -> Self {
        let cluster::Context {
            name,
            server,
            user,
            insecure,
            plugin,
            current,
            production,
            login: _,
            entry: _,
        } = context;
        Self {
            name,
            server,
            user,
            insecure,
            plugin,
            current,
            production,
            namespaces: Vec::new(),
            asks: false,
            open: false,
            elsewhere: false,
            changed: false,
        }
    }
}

/// A program that a kubeconfig names, shown before it may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct PluginRow {
    pub command: String,
    /// Names of the variables that the kubeconfig sets for it.
    pub variables: Vec<String>,
}

/// Connecting, while it is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Connecting {
    pub file: String,
    pub context: String,
    pub step: String,
}

/// Where something may be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Right {
    pub feature: Feature,
    pub words: String,
    pub everywhere: bool,
    /// Else only in these.
    pub namespaces: Vec<String>,
    /// The API server did not say it of all namespaces.
    pub unsure: bool,
    /// What is missing, as in a Role.
    pub needs: String,
    /// The only namespace that matters.
    pub namespace: Option<String>,
}

impl From<(Feature, Reach)> for Right {
    fn from((feature, reach): (Feature, Reach)) -> Self {
        Self {
            feature,
            words: feature.needs().words.into(),
            everywhere: reach.everywhere,
            needs: reach.needs(feature),
            namespaces: reach.namespaces.into_iter().collect(),
            unsure: reach.unsure,
            namespace: reach.only_in,
        }
    }
}

/// One control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct RevisionRow {
    pub name: String,
    pub versions: Vec<String>,
    pub tags: Vec<String>,
}

/// What a context leads to. What this person may not see is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ContextFacts {
    pub kubernetes: String,
    pub revisions: Option<Vec<RevisionRow>>,
    pub tags_seen: bool,
    pub sidecars: Option<bool>,
    pub ambient: Option<bool>,
    pub rights: Vec<Right>,
}

impl From<Facts> for ContextFacts {
    fn from(facts: Facts) -> Self {
        let revisions = facts.revisions.map(|revisions| {
            let rows = revisions.into_iter().map(|revision| RevisionRow {
                name: revision.name,
                versions: revision.versions.into_iter().collect(),
                tags: revision.tags.into_iter().collect(),
            });
            rows.collect()
        });
        Self {
            kubernetes: facts.kubernetes,
            revisions,
            tags_seen: facts.tags_seen,
            sidecars: facts.sidecars,
            ambient: facts.ambient,
            rights: facts.rights.all().map(Right::from).collect(),
        }
    }
}
