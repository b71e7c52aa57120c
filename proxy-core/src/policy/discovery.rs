//! What of a world the control plane sees, and what of that it shows: `discoverySelectors` and `serviceEntryVisibility` of
//! the mesh config. Istio: `discoveryNamespacesFilter`, `serviceExportTo`.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use crate::model::{EntryVisibility, LabelSelector, Labels, MeshConfig, VisibleTo, World};

/// The label of its name, which the API server gives each namespace.
const NAME: &str = "kubernetes.io/metadata.name";

/// `world` without what a control plane of `revision` does not see, and with exports as it takes them.
pub(super) fn as_seen<'w>(world: Cow<'w, World>, revision: &str) -> Cow<'w, World> {
    let Some(mesh) = world.mesh_config(revision).cloned() else {
        return world;
    };
    let mesh = &mesh.spec;
    if mesh.discovery_selectors.is_empty() && mesh.entry_visibility.is_none() {
        return world;
    }
    let mut world = world.into_owned();
    let labels = labels(&world);
    if !mesh.discovery_selectors.is_empty() {
        retain_seen(&mut world, &labels, &mesh.discovery_selectors);
    }
    if let Some(visibility) = &mesh.entry_visibility {
        cap_exports(&mut world, &labels, visibility, mesh);
    }
    Cow::Owned(world)
}

/// The labels of the namespaces that are declared, by name.
fn labels(world: &World) -> HashMap<Arc<str>, Labels> {
    let namespaces = world.namespaces.iter().map(|object| {
        let mut labels = Labels::clone(&object.meta.labels);
        labels.insert(NAME.into(), object.meta.name.to_string());
        (object.meta.name.clone(), labels)
    });
    namespaces.collect()
}

/// Any one selector is enough. A namespace that is not declared is taken for selected: nothing says otherwise.
fn retain_seen(world: &mut World, labels: &HashMap<Arc<str>, Labels>, selectors: &[LabelSelector]) {
    let is_seen = |namespace: &Arc<str>| {
        let own = labels.get(namespace);
        own.is_none_or(|own| selectors.iter().any(|selector| selector.selects(own)))
    };
    macro_rules! retain {
        ($($list:ident),*) => {
            $(world.$list.retain(|object| is_seen(&object.meta.namespace));)*
        };
    }
    retain!(
        services,
        service_entries,
        virtual_services,
        destination_rules,
        gateways,
        sidecars
    );
}

fn cap_exports(world: &mut World, labels: &HashMap<Arc<str>, Labels>, visibility: &EntryVisibility, mesh: &MeshConfig) {
    let none = Labels::new();
    for entry in &mut world.service_entries {
        let namespace = &entry.meta.namespace;
        let written = match entry.spec.export_to.is_empty() {
            true => &*mesh.default_service_export_to,
            false => &entry.spec.export_to,
        };
        let is_own = |item: &String| item == "*" || item == "." || **item == **namespace;
        let capped = match visibility.of(labels.get(namespace).unwrap_or(&none)) {
            VisibleTo::All => continue,
            VisibleTo::Namespace if written.iter().any(is_own) => ".",
            VisibleTo::Namespace | VisibleTo::Nobody => "~",
        };
        *entry = Arc::new(entry.but(|spec| spec.export_to = [capped.into()].into()));
    }
}
