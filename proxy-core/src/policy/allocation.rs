//! The addresses that istiod gives hosts without any in its own memory, up to release 1.24, where a mesh asks for it
//! (`ISTIO_META_DNS_AUTO_ALLOCATE`); since then a controller writes them into the entries. Source: `autoAllocateIPs` of
//! pilot/pkg/serviceregistry/serviceentry/auto_allocation.go.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{
    registry::{Address, RegistryService, ServiceKind},
    version::{Change, has},
};
use crate::model::{MeshConfig, Resolution};

/// Addresses that may be given, in 240.240.0.0/16.
const ADDRESSES: u32 = 256 * 254;
/// For the second of the two hashes.
const PRIME: u32 = 65_011;

/// Gives the services of entries their addresses, where this mesh's sidecars use such.
pub(super) fn allocate(services: &mut [Arc<RegistryService>], mesh: &MeshConfig) {
    let asked_for = mesh.dns_capture && mesh.dns_auto_allocate;
    if !asked_for || has(mesh.version, Change::AllocationController) {
        return;
    }
    let lacks_one = |service: &RegistryService| {
        matches!(&service.kind, ServiceKind::Entry(entry) if entry.spec.resolution != Resolution::None)
            && service.address == Address::Any
            && !service.host.starts_with('*')
    };
    let mut lacking: Vec<&Arc<RegistryService>> = services.iter().filter(|service| lacks_one(service)).collect();
    lacking.sort_by(|one, other| one.age().cmp(&other.age()));
    let given = addresses(lacking.into_iter().map(|service| key(service)));
    for service in services.iter_mut().filter(|service| lacks_one(service)) {
        if let Some(address) = given.get(&key(service)) {
            Arc::make_mut(service).address = Address::Ip(IpAddr::V4(*address));
        }
    }
}

fn key(service: &RegistryService) -> String {
    format!("{}/{}", service.namespace(), service.host)
}

/// One address for each key: by its hash, and by a second one where another has that place already.
fn addresses(keys: impl Iterator<Item = String>) -> HashMap<String, Ipv4Addr> {
    let mut places: HashMap<u32, String> = HashMap::new();
    for key in keys.take(ADDRESSES as usize) {
        let hash = fnv1a(key.as_bytes());
        let second = PRIME - hash % PRIME;
        let others = (1..=ADDRESSES).map(|step| hash.wrapping_add(step.wrapping_mul(second)) % (ADDRESSES - 1));
        let mut candidates = [hash % ADDRESSES].into_iter().chain(others);
        if let Some(free) = candidates.find(|place| !places.contains_key(place)) {
            places.insert(free, key);
        }
    }
    let mut taken: Vec<(u32, String)> = places.into_iter().collect();
    taken.sort_unstable();
    let mut given = HashMap::new();
    // Istio counts places from 1, and one more for each that would end with .0: all later ones move on by that.
    let mut moved = 1;
    for (place, key) in taken {
        if (place + moved).is_multiple_of(255) {
            moved += 1;
        }
        let number = place + moved;
        // Of two entries for one key the first place counts.
        given
            .entry(key)
            .or_insert(Ipv4Addr::new(240, 240, (number / 255) as u8, (number % 255) as u8));
    }
    given
}

/// FNV-1a of 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Istio's own tests expect (controller_test.go, `Test_legacyAutoAllocateIP_*`).
    #[test]
    fn addresses_are_those_that_istiod_gives() {
        let of = |keys: &[&str]| addresses(keys.iter().map(ToString::to_string));
        let all = of(&["a/a.example.com", "b/a.example.com"]);
        assert_eq!(all["a/a.example.com"].to_string(), "240.240.134.206");
        assert_eq!(all["b/a.example.com"].to_string(), "240.240.41.100");
        // The second takes another place than its own, where the first is.
        let all = of(&["/a17061.example.com", "/a44155.example.com"]);
        assert_eq!(all["/a17061.example.com"].to_string(), "240.240.25.11");
        assert_eq!(all["/a44155.example.com"].to_string(), "240.240.31.17");
        let known = [
            ("/a.com", "240.240.109.8"),
            ("/c.com", "240.240.234.51"),
            ("/e.com", "240.240.85.60"),
            ("/g.com", "240.240.23.172"),
            ("/i.com", "240.240.15.2"),
            ("/k.com", "240.240.160.161"),
            ("/l.com", "240.240.42.96"),
            ("/n.com", "240.240.121.61"),
            ("/o.com", "240.240.122.71"),
        ];
        let all = of(&known.map(|(key, _)| key));
        for (key, address) in known {
            assert_eq!(all[key].to_string(), address, "{key}");
        }
    }
}
