//! What reaches the sidecar at all: the order of the interception rules (semantics of istio-iptables, REDIRECT mode).
//!
//! First match decides: excluded ports, the caller's own loopback, the sidecar's own user, excluded ranges, included ports,
//! included ranges.
//! Exclude always beats include. A pod annotation, even an empty one, replaces the injector's value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::{CaptureEdit, Workload, nets, visibility, witness::Step};
use crate::model::{Labels, ObjectRef, World};

/// Where the sidecar takes redirected connections; dialling it directly always ends in the black hole.
pub const OUTBOUND_PORT: u16 = 15001;

/// The pod annotations that decide: included ranges, excluded ranges, included ports, excluded ports.
pub const CAPTURE_ANNOTATIONS: [&str; 4] = [INCLUDE_RANGES, EXCLUDE_RANGES, INCLUDE_PORTS, EXCLUDE_PORTS];
const INCLUDE_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
const EXCLUDE_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
const INCLUDE_PORTS: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
const EXCLUDE_PORTS: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";

/// The capture settings of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Ranges that are captured; `None` is everything.
    pub include_ranges: Option<Vec<IpNet>>,
    /// Ranges that are not.
    pub exclude_ranges: Vec<IpNet>,
    /// Ports that are captured whatever the range.
    pub include_ports: Vec<u16>,
    /// Ports that are not.
    pub exclude_ports: Vec<u16>,
    /// Where each of the four is written.
    pub written: [Option<ObjectRef>; 4],
    /// Where it is said that the workload runs under the sidecar's own user or group, of which nothing is captured.
    pub exempt: Option<ObjectRef>,
}

/// Why a connection never reaches the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BypassRule {
    /// `excludeOutboundPorts` names the port.
    ExcludedPort(u16),
    /// The destination is the caller's own loopback.
    Loopback,
    /// The workload runs under the sidecar's own user or group.
    SidecarUser,
    /// `excludeOutboundIPRanges` holds the address.
    ExcludedRange(IpNet),
    /// `includeOutboundIPRanges` does not hold the address.
    NotIncluded,
}

impl Capture {
    /// Settings of a workload with these pod annotations; `revision` picks the injector's values.
    pub fn of(world: &World, annotations: &Labels, workload: Option<&ObjectRef>, revision: &str) -> Self {
        let injector = world.injector(revision);
        let setting = |annotation: &str, index: usize| -> (Option<String>, Option<ObjectRef>) {
            if let Some(value) = annotations.get(annotation) {
                return (Some(value.clone()), workload.cloned());
            }
            let Some(injector) = injector else { return (None, None) };
            let values = &injector.spec;
            let value = [
                &values.include_ip_ranges,
                &values.exclude_ip_ranges,
                &values.include_outbound_ports,
                &values.exclude_outbound_ports,
            ][index];
            (
                value.clone(),
                value
                    .is_some()
                    .then(|| injector.reference("ConfigMap", values.lines[index])),
            )
        };
        let (include_ranges, include_ranges_at) = setting(INCLUDE_RANGES, 0);
        let (exclude_ranges, exclude_ranges_at) = setting(EXCLUDE_RANGES, 1);
        let (include_ports, include_ports_at) = setting(INCLUDE_PORTS, 2);
        let (exclude_ports, exclude_ports_at) = setting(EXCLUDE_PORTS, 3);
        Self {
            include_ranges: include_ranges
                .filter(|text| text.trim() != "*")
                .map(|text| nets::parse_list(&text)),
            exclude_ranges: exclude_ranges.map(|text| nets::parse_list(&text)).unwrap_or_default(),
            include_ports: include_ports.map(|text| ports(&text)).unwrap_or_default(),
            exclude_ports: exclude_ports.map(|text| ports(&text)).unwrap_or_default(),
            written: [include_ranges_at, exclude_ranges_at, include_ports_at, exclude_ports_at],
            exempt: None,
        }
    }

    /// Settings as the four lists are written: included ranges, excluded ranges, included ports, excluded ports.
    pub fn read(lists: [Option<&str>; 4]) -> Self {
        let written = CAPTURE_ANNOTATIONS.into_iter().zip(lists);
        let annotations = written.filter_map(|(key, list)| Some((key.to_string(), list?.to_string())));
        Self::of(&World::default(), &annotations.collect(), None, "")
    }

    /// The four lists as they are written, in the order of [`Capture::read`].
    pub fn lists(&self) -> [String; 4] {
        fn list<T: ToString>(items: &[T]) -> String {
            items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
        }
        let include = self.include_ranges.as_deref().map_or_else(|| "*".to_string(), list);
        [
            include,
            list(&self.exclude_ranges),
            list(&self.include_ports),
            list(&self.exclude_ports),
        ]
    }

    /// True where both capture the same, in whatever order they are written.
    pub fn is_same(&self, other: &Self) -> bool {
        fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
            let mut items = items.to_vec();
            items.sort();
            items.dedup();
            items
        }
        self.include_ranges.as_deref().map(sorted) == other.include_ranges.as_deref().map(sorted)
            && sorted(&self.exclude_ranges) == sorted(&other.exclude_ranges)
            && sorted(&self.include_ports) == sorted(&other.include_ports)
            && sorted(&self.exclude_ports) == sorted(&other.exclude_ports)
    }

    /// Makes one edit.
    pub(super) fn edit(&mut self, edit: CaptureEdit) {
        match edit {
            CaptureEdit::UnexcludePort(port) => self.exclude_ports.retain(|known| *known != port),
            CaptureEdit::UnexcludeRange(range) => self.exclude_ranges.retain(|known| *known != range),
            CaptureEdit::IncludeRange(range) => self.include_ranges.get_or_insert_default().push(range),
            CaptureEdit::ExcludeRange(range) => self.exclude_ranges.push(range),
        }
    }

    /// The pod annotations that say the same.
    pub fn annotations(&self) -> Labels {
        let keys = CAPTURE_ANNOTATIONS.map(str::to_string);
        keys.into_iter().zip(self.lists()).collect()
    }

    /// The rule by which `destination` bypasses the sidecar, `None` when it is captured. Does not allocate.
    pub fn bypass(&self, destination: SocketAddr) -> Option<BypassRule> {
        let (address, port) = (destination.ip(), destination.port());
        if self.exclude_ports.contains(&port) {
            return Some(BypassRule::ExcludedPort(port));
        }
        if address.is_loopback() && port != OUTBOUND_PORT && !self.captures_loopback(address) {
            return Some(BypassRule::Loopback);
        }
        if self.exempt.is_some() {
            return Some(BypassRule::SidecarUser);
        }
        if let Some(range) = self.exclude_ranges.iter().find(|range| range.contains(&address)) {
            return Some(BypassRule::ExcludedRange(*range));
        }
        if self.include_ports.contains(&port) {
            return None;
        }
        match &self.include_ranges {
            Some(ranges) if !ranges.iter().any(|range| range.contains(&address)) => Some(BypassRule::NotIncluded),
            _ => None,
        }
    }

    /// Ranges that are written with a loopback address switch the rule off that keeps it uncaptured, but for the host's
    /// own address. Source: istio-iptables, `HasLoopBackIP`.
    fn captures_loopback(&self, address: IpAddr) -> bool {
        let ranges = self.include_ranges.iter().flatten();
        ranges.into_iter().any(|range| range.addr().is_loopback())
            && address != IpAddr::V4(Ipv4Addr::LOCALHOST)
            && address != IpAddr::V6(Ipv6Addr::LOCALHOST)
    }

    /// The step of a trace for `rule`.
    pub(super) fn step(&self, rule: BypassRule) -> Step {
        let [include_ranges, exclude_ranges, _, exclude_ports] = &self.written;
        let (outcome, object) = match rule {
            BypassRule::ExcludedPort(port) => (
                format!("excludeOutboundPorts holds {port}: never captured"),
                exclude_ports,
            ),
            BypassRule::Loopback => ("own loopback: never captured".to_string(), &None),
            BypassRule::SidecarUser => (
                "the workload runs under the sidecar's own user or group: never captured".to_string(),
                &self.exempt,
            ),
            BypassRule::ExcludedRange(range) => (
                format!("excludeOutboundIPRanges holds {range}: never captured"),
                exclude_ranges,
            ),
            BypassRule::NotIncluded => (
                "no range of includeOutboundIPRanges holds the address: never captured".to_string(),
                include_ranges,
            ),
        };
        Step {
            step: "capture",
            outcome,
            object: object.clone(),
        }
    }
}

/// What the next pod of `workload` has captured, as `world` says.
pub fn capture_of(world: &World, workload: &Workload) -> Capture {
    capture_under(world, workload, visibility::revision(world, workload))
}

/// The same where this revision injects it.
pub fn capture_under(world: &World, workload: &Workload, revision: &str) -> Capture {
    let mut workloads = world.workloads.iter();
    let manifest =
        workloads.find(|object| object.meta.namespace == workload.namespace && object.meta.name == workload.name);
    let at = |line| manifest.map(|object| object.reference(object.spec.kind, line));
    Capture {
        exempt: manifest.and_then(|object| at(object.spec.exempt_line?)),
        ..Capture::of(world, &workload.annotations, at(0).as_ref(), revision)
    }
}

fn ports(text: &str) -> Vec<u16> {
    text.split(',').filter_map(|port| port.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_list_captures_nothing_else() {
        let read = |ranges| Capture::read([None, Some(ranges), None, Some("22,23")]);
        let (one, other) = (read("10.0.0.0/8,1.1.1.0/24"), read("1.1.1.0/24,10.0.0.0/8"));
        assert!(one.is_same(&other));
        assert!(!one.is_same(&read("10.0.0.0/8")));
        assert_eq!(one.lists(), ["*", "10.0.0.0/8,1.1.1.0/24", "", "22,23"]);
        assert!(!one.is_same(&Capture::read([
            Some(""),
            Some("10.0.0.0/8,1.1.1.0/24"),
            None,
            Some("22,23")
        ])));
    }

    fn capture(pairs: &[(&str, &str)]) -> Capture {
        let annotations = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        Capture::of(&World::default(), &annotations, None, "")
    }

    #[test]
    fn exclude_beats_include_and_ports_beat_ranges() {
        let capture = capture(&[
            (INCLUDE_RANGES, "10.0.0.0/8"),
            (EXCLUDE_RANGES, "10.1.0.0/16"),
            (INCLUDE_PORTS, "443"),
            (EXCLUDE_PORTS, "22"),
        ]);
        let range = "10.1.0.0/16".parse().unwrap();
        for (destination, expected) in [
            ("10.0.0.1:80", None),
            ("10.0.0.1:22", Some(BypassRule::ExcludedPort(22))),
            ("10.1.0.1:443", Some(BypassRule::ExcludedRange(range))),
            ("1.1.1.1:443", None),
            ("1.1.1.1:80", Some(BypassRule::NotIncluded)),
            ("127.0.0.1:80", Some(BypassRule::Loopback)),
            ("127.0.0.1:15001", Some(BypassRule::NotIncluded)),
        ] {
            assert_eq!(capture.bypass(destination.parse().unwrap()), expected, "{destination}");
        }
    }

    #[test]
    fn an_empty_include_captures_nothing_and_a_star_everything() {
        assert_eq!(
            capture(&[(INCLUDE_RANGES, "")]).bypass("1.1.1.1:1".parse().unwrap()),
            Some(BypassRule::NotIncluded)
        );
        assert_eq!(
            capture(&[(INCLUDE_RANGES, "*")]).bypass("1.1.1.1:1".parse().unwrap()),
            None
        );
        assert_eq!(capture(&[]).bypass("1.1.1.1:1".parse().unwrap()), None);
    }
}
