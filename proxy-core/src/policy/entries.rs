//! Listeners in the making. Istio: `buildSidecarOutboundListeners`; the older object wins wherever two collide.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{
    Workload,
    chains::Stream,
    clusters::Clusters,
    compile::RESERVED_PORTS,
    listeners::{Chain, ChainKey, ChainMatch, HttpChain, Listener},
    registry::{Address, RegistryService},
    scope::Scope,
    shared_endpoints::{SamePort, SharedEndpoints},
};
use crate::model::{Port, Protocol, ProtocolClass};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// All listeners of one workload.
pub(super) struct Entries<'s> {
    clusters: &'s Clusters,
    shared_endpoints: &'s SharedEndpoints<'s>,
    workload: &'s Workload,
    entries: HashMap<SocketAddr, Entry>,
    /// The route tables that are needed, in the order of their numbers.
    tabled: Vec<Tabled<'s>>,
    /// Table of each wildcard port.
    shared: HashMap<u16, usize>,
}

/// A route table that a listener asks for.
pub(super) enum Tabled<'s> {
    /// That of everything on a port.
    Shared(u16),
    /// That of one service on a sniffed port of its own address.
    Own(&'s RegistryService, u16),
}

/// One listener in the making.
struct Entry {
    /// What has made it so far; `Auto` where HTTP and other traffic are told apart.
    protocol: Protocol,
    /// A Sidecar's listener for this very port made it; the one for all other ports leaves it alone.
    locked: bool,
    listener: Listener,
    keys: HashSet<ChainKey>,
    more_addresses: Box<[IpAddr]>,
}

impl<'s> Entries<'s> {
    /// With the tables of `ports` before all others.
    pub fn new(
        clusters: &'s Clusters,
        shared_endpoints: &'s SharedEndpoints<'s>,
        workload: &'s Workload,
        ports: &[u16],
    ) -> Self {
        Self {
            clusters,
            shared_endpoints,
            workload,
            entries: HashMap::new(),
            tabled: ports.iter().map(|port| Tabled::Shared(*port)).collect(),
            shared: ports.iter().enumerate().map(|(at, port)| (*port, at)).collect(),
        }
    }

    /// Adds what one egress listener imports.
    pub fn add(&mut self, scope: &'s Scope<'s>) {
        let Some((number, protocol)) = scope.port() else {
            self.entries.values_mut().for_each(|entry| entry.locked = true);
            for service in &scope.services {
                for port in service.ports.iter() {
                    self.listeners(scope, service, port);
                }
            }
            return;
        };
        for service in scope.services.iter().filter(|service| service.alias_of().is_none()) {
            // A Sidecar's port says itself what is spoken on it.
            let own = service.port(number).or(service.ports.first());
            let port = Port {
                number,
                name: Box::default(),
                protocol,
                target_port: None,
                line: own.map_or(0, |own| own.line),
            };
            self.listener(scope, service, &port, scope.bind());
        }
    }

    /// The listeners by address, and the tables that their chains number.
    pub fn finish(self) -> (Vec<(SocketAddr, Listener)>, Vec<Tabled<'s>>) {
        let mut listeners = Vec::new();
        for (address, entry) in self.entries {
            let mut listener = entry.listener;
            listener.exclusive = matches!(entry.protocol, Protocol::Mongo | Protocol::MySql);
            for more in entry.more_addresses {
                listeners.push((SocketAddr::new(more, address.port()), listener.clone()));
            }
            listeners.push((address, listener));
        }
        (listeners, self.tabled)
    }

    /// One service on one port. Istio: what is called at the addresses of its own endpoints, whatever they are, has a
    /// listener at each of them for all but HTTP; pods of a headless Service are not known here.
    fn listeners(&mut self, scope: &'s Scope<'s>, service: &'s RegistryService, port: &Port) {
        if service.alias_of().is_some() {
            return;
        }
        let streams = port.protocol.class() != ProtocolClass::Http;
        let anywhere = service.is_passthrough() && service.address == Address::Any && scope.bind().is_none();
        if !(streams && anywhere) {
            return self.listener(scope, service, port, scope.bind());
        }
        let endpoints = self
            .shared_endpoints
            .of(service)
            .endpoints(SamePort::Number(port.number), None);
        let endpoints: Vec<&str> = endpoints.map(|declared| declared.address).collect();
        if endpoints.is_empty() && !service.is_kubernetes() && !service.selects_pods() {
            self.listener(scope, service, port, None);
        }
        for address in endpoints.iter().filter_map(|address| address.parse().ok()) {
            self.listener(scope, service, port, Some(address));
        }
    }

    /// One listener for one service on one port, at `bind` where that is given.
    fn listener(&mut self, scope: &'s Scope<'s>, service: &'s RegistryService, port: &Port, bind: Option<IpAddr>) {
        let class = port.protocol.class();
        if class == ProtocolClass::None || is_reserved(bind, class, port.number) {
            return;
        }
        let ip = match (bind, class, service.address) {
            (Some(bind), _, _) => bind,
            (None, ProtocolClass::Tls | ProtocolClass::Tcp | ProtocolClass::Auto, Address::Ip(ip)) => ip,
            _ => ANY,
        };
        let address = SocketAddr::new(ip, port.number);
        let (existing, locked) = match self.entries.get(&address) {
            Some(entry) => (Some(entry.protocol), entry.locked),
            None => (None, false),
        };
        if locked || existing.is_some_and(|existing| refuse_each_other(existing, port.protocol)) {
            self.is_mixed(address);
            return;
        }
        let sniffs = class == ProtocolClass::Auto || class == ProtocolClass::Http && ip == ANY;
        // A service that is told apart from others by its Host is in the route table; there is nothing to add here.
        let is_told_apart = |protocol: Protocol| matches!(protocol.class(), ProtocolClass::Http | ProtocolClass::Auto);
        let as_http = matches!(class, ProtocolClass::Http | ProtocolClass::Auto);
        if as_http
            && existing.is_some_and(is_told_apart)
            && !(class == ProtocolClass::Auto && existing != Some(Protocol::Auto))
        {
            if class == ProtocolClass::Auto || port.protocol == Protocol::GrpcWeb {
                self.is_mixed(address);
            }
            return;
        }
        let mut chains = Vec::new();
        if class != ProtocolClass::Http {
            let stream = Stream {
                service,
                port,
                on_wildcard: ip == ANY,
                bound: bind.is_some(),
                attachments: &scope.attachments,
                clusters: self.clusters,
                workload: self.workload,
            };
            chains = stream.chains();
        }
        if as_http {
            let condition = ChainMatch {
                http: sniffs,
                ..ChainMatch::default()
            };
            chains.push((condition, self.routed(service, port, class, ip)));
        }
        let made_by = if sniffs { Protocol::Auto } else { port.protocol };
        self.merge(address, service, made_by, chains);
    }

    /// Notes that a listener depends on the order in which services come.
    fn is_mixed(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.listener.mixed = true;
        }
    }

    fn routed(&mut self, service: &'s RegistryService, port: &Port, class: ProtocolClass, ip: IpAddr) -> Chain {
        let next = self.tabled.len();
        let table = if class == ProtocolClass::Auto && ip != ANY {
            self.tabled.push(Tabled::Own(service, port.number));
            next
        } else {
            *self.shared.entry(port.number).or_insert_with(|| {
                self.tabled.push(Tabled::Shared(port.number));
                next
            })
        };
        Chain::Http(HttpChain {
            table,
            grpc_web: port.protocol == Protocol::GrpcWeb,
        })
    }

    /// Adds chains to a listener; those that ask for the same as an older one are left out.
    fn merge(
        &mut self,
        address: SocketAddr,
        service: &RegistryService,
        protocol: Protocol,
        chains: Vec<(ChainMatch, Chain)>,
    ) {
        let more_addresses = match service.address {
            Address::Ip(own) if own == address.ip() => service.more_addresses().into(),
            _ => Box::default(),
        };
        let of_http = |protocol: Protocol| protocol.class() == ProtocolClass::Http;
        match self.entries.get_mut(&address) {
            // A listener for HTTP alone makes way for one that tells HTTP apart.
            Some(entry) if !(of_http(entry.protocol) && protocol == Protocol::Auto) => {
                for (condition, chain) in chains {
                    if entry.keys.insert(condition.key()) {
                        entry.listener.add(&condition, &chain);
                    } else {
                        entry.listener.left_out(&condition);
                    }
                }
                let streams = |protocol: Protocol| matches!(protocol.class(), ProtocolClass::Tls | ProtocolClass::Tcp);
                if !(streams(entry.protocol) && streams(protocol)) {
                    entry.protocol = Protocol::Auto;
                }
            }
            _ => {
                let mut listener = Listener::new(listener_name(address));
                for (condition, chain) in &chains {
                    listener.add(condition, chain);
                }
                let keys = chains.iter().map(|(condition, _)| condition.key()).collect();
                let entry = Entry {
                    protocol,
                    locked: false,
                    listener,
                    keys,
                    more_addresses,
                };
                self.entries.insert(address, entry);
            }
        }
    }
}

/// Istio's name of a listener.
fn listener_name(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("{ip}_{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]_{}", address.port()),
    }
}

/// Istio's own listeners hold their ports on any address; it asks only where it knows the address that early.
fn is_reserved(bind: Option<IpAddr>, class: ProtocolClass, port: u16) -> bool {
    let on_any = match bind {
        Some(bind) => bind == ANY,
        None => class == ProtocolClass::Http,
    };
    on_any && RESERVED_PORTS.contains(&port)
}

/// Mongo and MySQL share a listener with nothing else.
fn refuse_each_other(existing: Protocol, incoming: Protocol) -> bool {
    let shy = |protocol| matches!(protocol, Protocol::Mongo | Protocol::MySql);
    (shy(existing) || shy(incoming)) && existing != incoming
}
