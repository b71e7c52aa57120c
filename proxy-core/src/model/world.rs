//! Everything one source says, object by object.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ControlPlane, DestinationRule, EnvoyFilter, Gateway, InjectorConfig, IstioVersion, MeshConfig, MeshText, Namespace,
    Object, RevisionTag, Service, ServiceEntry, Sidecar, Telemetry, VirtualService, WorkloadManifest,
};

/// Gives the lists of a [`World`], and the kind that each of them is of, to the macro `$then`.
macro_rules! each_list {
    ($then:ident) => {
        $then! {
            mesh_configs: MeshConfig,
            shared_meshes: MeshText,
            control_planes: ControlPlane,
            injectors: InjectorConfig,
            tags: RevisionTag,
            namespaces: Namespace,
            services: Service,
            workloads: WorkloadManifest,
            service_entries: ServiceEntry,
            virtual_services: VirtualService,
            destination_rules: DestinationRule,
            gateways: Gateway,
            sidecars: Sidecar,
            telemetries: Telemetry,
            envoy_filters: EnvoyFilter,
        }
    };
}

/// All objects of a source that policy depends on. Cheap to clone: objects are shared.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Mesh configs, one a revision (ConfigMap `istio[-rev]`, key `mesh`).
    pub mesh_configs: Vec<Arc<Object<MeshConfig>>>,
    /// ConfigMaps with a mesh config under another name: a control plane may read one on top of its own.
    pub shared_meshes: Vec<Arc<Object<MeshText>>>,
    /// Control planes that do.
    pub control_planes: Vec<Arc<Object<ControlPlane>>>,
    /// Injector values, one a revision (ConfigMap `istio-sidecar-injector[-rev]`, key `values`).
    pub injectors: Vec<Arc<Object<InjectorConfig>>>,
    /// Tags of revisions.
    pub tags: Vec<Arc<Object<RevisionTag>>>,
    /// Namespaces that are declared.
    pub namespaces: Vec<Arc<Object<Namespace>>>,
    /// Kubernetes Services.
    pub services: Vec<Arc<Object<Service>>>,
    /// Deployments, StatefulSets, DaemonSets and bare Pods: who calls.
    pub workloads: Vec<Arc<Object<WorkloadManifest>>>,
    /// ServiceEntries.
    pub service_entries: Vec<Arc<Object<ServiceEntry>>>,
    /// VirtualServices.
    pub virtual_services: Vec<Arc<Object<VirtualService>>>,
    /// DestinationRules.
    pub destination_rules: Vec<Arc<Object<DestinationRule>>>,
    /// Gateways.
    pub gateways: Vec<Arc<Object<Gateway>>>,
    /// Sidecars.
    pub sidecars: Vec<Arc<Object<Sidecar>>>,
    /// Telemetries.
    pub telemetries: Vec<Arc<Object<Telemetry>>>,
    /// EnvoyFilters that add access logs; others are counted among the ignored.
    pub envoy_filters: Vec<Arc<Object<EnvoyFilter>>>,
    /// The release of Istio to decide for, where it was chosen; else each mesh config says its own.
    pub version: Option<IstioVersion>,
    /// Documents of other kinds, counted by kind.
    pub ignored: BTreeMap<String, usize>,
}

impl World {
    /// The mesh config of `revision`, else the default revision's, else any.
    pub fn mesh_config(&self, revision: &str) -> Option<&Arc<Object<MeshConfig>>> {
        let of = |revision: &str| self.mesh_configs.iter().find(|mesh| mesh.spec.revision == revision);
        of(revision).or_else(|| of("")).or_else(|| self.mesh_configs.first())
    }

    /// The release of Istio that `revision` is of: the chosen one, else what its mesh config says, else the newest.
    pub fn istio_version(&self, revision: &str) -> IstioVersion {
        let own = || self.mesh_config(revision).map(|mesh| mesh.spec.version);
        self.version.or_else(own).unwrap_or_default()
    }

    /// The namespace whose objects hold for the whole mesh.
    pub fn root_namespace(&self) -> &str {
        self.mesh_config("")
            .map_or("istio-system", |mesh| mesh.spec.root_namespace.as_str())
    }

    /// The injector's values of `revision`, else the default revision's, else any.
    pub fn injector(&self, revision: &str) -> Option<&Arc<Object<InjectorConfig>>> {
        let of = |revision: &str| {
            self.injectors
                .iter()
                .find(|injector| injector.spec.revision == revision)
        };
        of(revision).or_else(|| of("")).or_else(|| self.injectors.first())
    }

    /// The revision that `label` (of `istio.io/rev`) means: what a tag of that name points to, else itself; the default
    /// revision, which has no name, is called `default` there.
    pub fn revision_called<'w>(&'w self, label: &'w str) -> &'w str {
        match self.tags.iter().find(|tag| tag.spec.tag == label) {
            Some(tag) => &tag.spec.revision,
            None if label == "default" => "",
            None => label,
        }
    }

    /// Adds everything that `other` says.
    pub fn extend(&mut self, other: &World) {
        macro_rules! extend {
            ($($list:ident: $kind:ident,)*) => {
                $(self.$list.extend_from_slice(&other.$list);)*
            };
        }
        each_list!(extend);
        self.count_ignored(&other.ignored);
        self.join_meshes();
    }

    /// Adds everything that `other` says.
    pub fn extend_packed(&mut self, other: &PackedWorld) {
        macro_rules! extend {
            ($($list:ident: $kind:ident,)*) => {
                for object in &other.objects {
                    match object {
                        $(AnyObject::$kind(object) => self.$list.push(object.clone()),)*
                    }
                }
            };
        }
        each_list!(extend);
        self.count_ignored(other.ignored.iter().map(|(kind, count)| (kind, count)));
        self.join_meshes();
    }

    fn count_ignored<'k>(&mut self, more: impl IntoIterator<Item = (&'k String, &'k usize)>) {
        for (kind, count) in more {
            *self.ignored.entry(kind.clone()).or_default() += count;
        }
    }

    /// Has the mesh configs say what their control planes make of them: what is shared with them counts over their own.
    pub(super) fn join_meshes(&mut self) {
        for mesh in &mut self.mesh_configs {
            let plane = self
                .control_planes
                .iter()
                .find(|plane| plane.meta.namespace == mesh.meta.namespace && plane.spec.revision == mesh.spec.revision);
            let shared = plane.and_then(|plane| {
                let mut shared = self.shared_meshes.iter();
                shared.find(|shared| {
                    shared.meta.namespace == plane.meta.namespace && *shared.meta.name == *plane.spec.shared_mesh
                })
            });
            if shared.map(|shared| shared.digest()) == mesh.spec.joined_with {
                continue;
            }
            let spec = super::parse::joined(mesh, shared.map(|shared| &**shared));
            *mesh = Arc::new(mesh.but(|own| *own = spec));
        }
    }

    /// Everything but the objects that are written in `file`.
    pub fn without_file(&self, file: &str) -> Self {
        macro_rules! others {
            ($($list:ident: $kind:ident,)*) => {
                Self {
                    $($list: self.$list.iter().filter(|object| *object.place.file != *file).cloned().collect(),)*
                    ignored: self.ignored.clone(),
                    version: self.version,
                }
            };
        }
        each_list!(others)
    }
}

/// An object of any kind.
macro_rules! any_object {
    ($($list:ident: $kind:ident,)*) => {
        #[derive(Debug)]
        enum AnyObject {
            $($kind(Arc<Object<$kind>>),)*
        }
    };
}
each_list!(any_object);

/// What one source says, in less room: there may be very many files, of few objects each, and a [`World`] has a list for
/// each kind.
#[derive(Debug, Default)]
pub struct PackedWorld {
    objects: Box<[AnyObject]>,
    ignored: Box<[(String, usize)]>,
}

impl From<World> for PackedWorld {
    fn from(world: World) -> Self {
        macro_rules! pack {
            ($($list:ident: $kind:ident,)*) => {
                [$(world.$list.into_iter().map(AnyObject::$kind).collect::<Vec<_>>()),*]
            };
        }
        let lists = each_list!(pack);
        Self {
            objects: lists.into_iter().flatten().collect(),
            ignored: world.ignored.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::add_document, yaml};

    #[test]
    fn a_packed_world_says_the_same_in_the_same_order() {
        let text = "
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {hosts: [b.test]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: b}, spec: {hosts: [b.test]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: {hosts: [a.test]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
";
        let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
        for document in yaml::read(text.as_bytes()).unwrap() {
            add_document(&document, &"f.yaml".into(), &mut order, &mut world, &mut errors);
        }
        assert_eq!(errors, []);
        let mut same = World::default();
        same.extend_packed(&world.clone().into());
        assert_eq!(format!("{same:?}"), format!("{world:?}"));
        same.extend_packed(&world.clone().into());
        assert_eq!((same.service_entries.len(), same.ignored["Secret"]), (4, 2));
    }
}
