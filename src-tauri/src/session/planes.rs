//! What carries the traffic of each workload and namespace: a sidecar, ambient, or nothing of Istio. Labels say what a new
//! pod gets; in a cluster the pods themselves are the better witness where no label asks for the sidecar that they have.

use std::collections::{HashMap, HashSet};

use proxy_core::{
    model::Labels,
    policy::{self, DataPlane},
};

use super::View;
use crate::dto::Plane;

/// All of a view, looked up once.
pub struct Planes<'v> {
    view: &'v View,
    namespaces: HashMap<&'v str, &'v Labels>,
    /// Namespaces with a pod that has a sidecar.
    injected: HashSet<String>,
}

/// What carries the traffic of one workload or namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    pub plane: Plane,
    /// The revision of its sidecar; of the default one where it has none.
    pub revision: String,
    /// Why it has no sidecar, where it has none.
    pub because: Option<&'static str>,
}

impl<'v> Planes<'v> {
    pub fn of(view: &'v View) -> Self {
        let named = |object: &'v std::sync::Arc<proxy_core::model::Object<proxy_core::model::Namespace>>| {
            (&*object.meta.name, &*object.meta.labels)
        };
        let pods = view.origin.cluster().map(|cluster| cluster.pods()).unwrap_or_default();
        let injected = pods.into_iter().filter(|pod| pod.sidecar.is_some());
        Self {
            view,
            namespaces: view.world().namespaces.iter().map(named).collect(),
            injected: injected.map(|pod| pod.workload.namespace).collect(),
        }
    }

    /// Of one workload.
    pub fn workload(&self, workload: &policy::Workload, host_network: bool) -> Carried {
        let world = self.view.world();
        let labels = self.namespaces.get(&*workload.namespace).copied();
        let plane = DataPlane::within(world, labels, workload, host_network);
        let (kind, because) = match plane {
            // Nothing says that it has none.
            DataPlane::Sidecar { .. } | DataPlane::Undeclared => (Plane::Sidecar, None),
            DataPlane::Ambient { because } => (Plane::Ambient, Some(because)),
            DataPlane::Nothing { because } => (Plane::Nothing, Some(because)),
        };
        Carried {
            plane: kind,
            revision: plane.revision(world).to_string(),
            because,
        }
    }

    /// Of a namespace with these workloads: of a sidecar where one of them has one.
    pub fn namespace(&self, namespace: &str, workloads: &[Carried]) -> Carried {
        let any = policy::Workload {
            namespace: namespace.into(),
            ..policy::Workload::default()
        };
        let own = self.workload(&any, false);
        let has = |carried: &&Carried| carried.plane == Plane::Sidecar;
        match workloads.iter().find(has) {
            Some(with) if own.plane != Plane::Sidecar => with.clone(),
            None if self.injected.contains(namespace) => Carried {
                plane: Plane::Sidecar,
                because: None,
                ..own
            },
            _ => own,
        }
    }
}
