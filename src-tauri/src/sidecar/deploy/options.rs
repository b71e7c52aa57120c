//! What a person chose: which workload, what the sidecar does there, where it stands, and how traffic reaches it.

use proxy_core::{
    model::IstioVersion,
    policy::{Capture, Workload},
};

use crate::{
    cluster::{Feature, ROLLING, check_reference},
    dto::{DeployDns, DeployMode, DeployOptions, DeployPlace, DeployWay},
    fault::{Fault, Result},
};

/// The image that `egret-proxy image` writes.
pub const IMAGE: &str = concat!("egret.dev/egret-proxy:", env!("CARGO_PKG_VERSION"));

/// Longest name of an object of Kubernetes.
const MAX_NAME: usize = 253;

/// A workload of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// One of [`ROLLING`].
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl Target {
    /// The one that `kind` and `workload`, as `namespace/name`, mean.
    pub fn read(kind: &str, workload: &str) -> Result<Self> {
        if !ROLLING.contains(&kind) {
            return Err(Fault::new(
                "kind",
                format!("{workload} is made by a {kind}: no sidecar can be put there."),
            )
            .hint("Choose a Deployment, a StatefulSet or a DaemonSet."));
        }
        let (namespace, name) = named(workload)?;
        Ok(Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    /// `namespace/name`.
    pub fn workload(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Namespace and name of what the window calls `namespace/name`: they become parts of paths.
pub fn named(workload: &str) -> Result<(&str, &str)> {
    let plain = |part: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let is_name = part.bytes().any(|byte| byte != b'.');
        (1..=MAX_NAME).contains(&part.len()) && part.bytes().all(legal) && is_name
    };
    let named = workload
        .split_once('/')
        .filter(|(namespace, name)| plain(namespace) && plain(name));
    named.ok_or_else(|| Fault::input(format!("{workload:?} is no NAMESPACE/NAME.")))
}

/// What is deployed, once it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub target: Target,
    pub mode: DeployMode,
    pub place: DeployPlace,
    pub way: DeployWay,
    pub dns: DeployDns,
    pub image: String,
    /// With the edits that are staged.
    pub staged: bool,
}

impl Options {
    /// What it asks of the API server.
    pub fn feature(&self) -> Feature {
        match self.place {
            DeployPlace::Copy | DeployPlace::Workload => Feature::DeploySidecar,
            DeployPlace::Pod => Feature::AttachSidecar,
        }
    }

    /// Whether DNS is captured, where a person chose it.
    pub fn dns_capture(&self) -> Option<bool> {
        match self.dns {
            DeployDns::Workload => None,
            DeployDns::On => Some(true),
            DeployDns::Off => Some(false),
        }
    }

    /// Those that the window sent.
    pub fn read(options: DeployOptions) -> Result<Self> {
        let target = Target::read(&options.kind, &options.workload)?;
        check_reference(&options.image, IMAGE)?;
        if options.way == DeployWay::Proxy && options.dns == DeployDns::On {
            return Err(Fault::input(
                "DNS is captured by redirecting it: variables of an HTTP proxy do not lead it anywhere.",
            )
            .hint("Choose redirection, or leave DNS to the workload's configuration."));
        }
        Ok(Self {
            target,
            mode: options.mode,
            place: options.place,
            way: options.way,
            dns: options.dns,
            image: options.image,
            staged: options.staged,
        })
    }
}

/// Who the sidecar decides for, which is the workload itself also where it stands in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub workload: Workload,
    pub service_account: String,
    /// What is captured, as Istio would for it.
    pub capture: Capture,
    /// Its DNS is captured too.
    pub captures_dns: bool,
    /// Its own configuration asks for that, whatever was chosen.
    pub asks_for_dns: bool,
    /// The release of Istio that a person chose to decide as; else the cluster says its own.
    pub istio_version: Option<IstioVersion>,
    /// Istio's own sidecar stands, or will stand, beside ours.
    pub beside_istio: bool,
}
