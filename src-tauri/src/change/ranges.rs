//! What sidecars capture: the lists of a revision's injector, and those of one workload.

use proxy_core::source::edit::{self, InjectorRanges};

use super::proposal::Draft;
use crate::fault::{Fault, Result};

impl Draft<'_> {
    /// Writes the lists of the injector of `revision`: included ranges, excluded ranges, included ports, excluded ports.
    pub(super) fn ranges(&mut self, revision: &str, lists: [&str; 4]) -> Result<()> {
        let [include_ranges, exclude_ranges, include_ports, exclude_ports] = lists;
        let ranges = InjectorRanges {
            include_ranges: check_ranges("includeIPRanges", include_ranges)?,
            exclude_ranges: check_ranges("excludeIPRanges", exclude_ranges)?,
            include_ports: check_ports("includeOutboundPorts", include_ports)?,
            exclude_ports: check_ports("excludeOutboundPorts", exclude_ports)?,
        };
        let mut injectors = self.world.injectors.iter();
        let injector = injectors.find(|injector| injector.spec.revision == revision);
        let injector = injector.cloned().ok_or_else(|| {
            let dash = if revision.is_empty() { "" } else { "-" };
            Fault::new(
                "missing",
                format!("There is no ConfigMap istio-sidecar-injector{dash}{revision}."),
            )
            .hint("Add it with the key `values`; the ranges are written there.")
        })?;
        let file = injector.place.file.clone();
        let place = (&*injector.meta.namespace, &*injector.meta.name);
        let new = edit::set_injector_ranges(&self.text(&file)?, &file, place, &ranges)?;
        self.set(file.to_string(), Some(new))
    }

    /// Writes a workload's own lists in the same order; an absent one is the injector's.
    pub(super) fn capture(&mut self, namespace: &str, name: &str, lists: &[Option<String>; 4]) -> Result<()> {
        let [include_ranges, exclude_ranges, include_ports, exclude_ports] = lists;
        let ranges = |field, text: &Option<String>| text.as_deref().map(|text| check_ranges(field, text)).transpose();
        let ports = |field, text: &Option<String>| text.as_deref().map(|text| check_ports(field, text)).transpose();
        let lists = [
            ranges("includeOutboundIPRanges", include_ranges)?,
            ranges("excludeOutboundIPRanges", exclude_ranges)?,
            ports("includeOutboundPorts", include_ports)?,
            ports("excludeOutboundPorts", exclude_ports)?,
        ];
        let mut workloads = self.world.workloads.iter();
        let workload = workloads.find(|object| *object.meta.namespace == *namespace && *object.meta.name == *name);
        let workload = workload.cloned().ok_or_else(|| {
            Fault::new("missing", format!("No workload {namespace}/{name} is declared."))
                .hint("Its Deployment, StatefulSet, DaemonSet or Pod holds its annotations.")
        })?;
        let file = workload.place.file.clone();
        let new = edit::set_capture(&self.text(&file)?, &file, (workload.spec.kind, namespace, name), &lists)?;
        self.set(file.to_string(), Some(new))
    }
}

/// A list of addresses and ranges, `*` for all of them; written with a comma and no blank, as the injector takes it.
fn check_ranges(field: &str, text: &str) -> Result<String> {
    check_list(field, text, "an address or range such as 10.0.0.0/8", |item| {
        item == "*" || item.parse::<ipnet::IpNet>().is_ok() || item.parse::<std::net::IpAddr>().is_ok()
    })
}

fn check_ports(field: &str, text: &str) -> Result<String> {
    check_list(field, text, "a port from 1 to 65535", |item| {
        item == "*" || item.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn check_list(field: &str, text: &str, wanted: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    match items.iter().find(|item| !fits(item)) {
        Some(item) => Err(Fault::new("ranges", format!("{field}: {item:?} is not {wanted}."))
            .hint("The injector refuses the whole pod when one entry is wrong.")),
        None => Ok(items.join(",")),
    }
}
