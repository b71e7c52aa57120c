//! Names to addresses: fixed names first, then those of a cluster, then the system's resolver with its TTL cache.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hickory_resolver::{TokioResolver, net::NetError};
use tokio::{task, time::timeout};

use super::{Forwarder, Unresolved, unresolved::REMEMBERED};

/// How long a request waits for the news of a name whose addresses are known, when their time is over: a server that answers
/// does so by then. Envoy looks names up before they are asked for.
const NEWS: Duration = Duration::from_millis(250);

/// Resolves names for one worker.
#[derive(Debug, Clone)]
pub struct Resolver {
    fixed: Arc<HashMap<String, Vec<IpAddr>>>,
    forwarder: Option<Forwarder>,
    /// `None` where the system has no usable resolver configuration: then only fixed names resolve.
    system: Option<TokioResolver>,
    /// What the names of policy objects last resolved to; as many as policy has ever named.
    last: Arc<Mutex<HashMap<String, Last>>>,
    /// Names of requests that failed.
    unresolved: Unresolved,
}

/// What a name last resolved to.
#[derive(Debug)]
struct Last {
    addresses: Vec<IpAddr>,
    /// When it is looked up again.
    until: Instant,
}

impl Resolver {
    /// A resolver with fixed names (`--host NAME=ADDR`), and what those of other workers could not resolve. Needs a runtime.
    pub fn new(fixed: Arc<HashMap<String, Vec<IpAddr>>>, unresolved: Unresolved) -> Self {
        let system = TokioResolver::builder_tokio().and_then(|builder| builder.build()).ok();
        Self {
            fixed,
            forwarder: None,
            system,
            last: Arc::default(),
            unresolved,
        }
    }

    /// The same, with the names that `forwarder` knows.
    pub fn through(self, forwarder: Option<Forwarder>) -> Self {
        Self { forwarder, ..self }
    }

    /// Addresses of a name that a request asks for, for a port of it. What failed a short time ago fails without waiting.
    pub async fn resolve_asked(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        let key = || format!("{}:{port}", name.to_ascii_lowercase());
        if !self.unresolved.is_empty()
            && let Some(error) = self.unresolved.of(&key(), Instant::now())
        {
            return Err(error);
        }
        let found = match is_asked_for(name) {
            true => self.resolve(name).await,
            false => Err(io::Error::new(ErrorKind::InvalidInput, "no domain name")),
        };
        if let Err(error) = &found {
            self.unresolved.note(&key(), error, Instant::now());
        }
        found
    }

    /// Addresses of a name that policy declares. A DNS server that fails does not take away what was known, as in Envoy, and
    /// one that is silent holds up nobody who has something to go on with.
    pub async fn resolve_declared(&self, name: &str) -> Vec<IpAddr> {
        match self.at_hand(name).await {
            Ok(Some(addresses)) => {
                self.note(name, &addresses, Instant::now());
                addresses
            }
            Ok(None) => self.looked_up(name).await,
            Err(_) => {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                last.get(name).map(|last| last.addresses.clone()).unwrap_or_default()
            }
        }
    }

    /// Addresses of a declared name that the system has to look up, which it does when their time is over.
    async fn looked_up(&self, name: &str) -> Vec<IpAddr> {
        let known = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            match last.get_mut(name) {
                Some(last) if last.until > now => return last.addresses.clone(),
                Some(last) => {
                    // Nobody else looks it up meanwhile, nor soon again where that fails.
                    last.until = now + REMEMBERED;
                    Some(last.addresses.clone())
                }
                None => None,
            }
        };
        let (resolver, asked) = (self.clone(), name.to_string());
        let looking_up = Box::pin(async move {
            let (addresses, until) = resolver.look_up(&asked).await.ok()?;
            resolver.note(&asked, &addresses, until);
            Some(addresses)
        });
        match known {
            None => looking_up.await.unwrap_or_default(),
            Some(known) => match timeout(NEWS, task::spawn(looking_up)).await {
                Ok(Ok(Some(addresses))) => addresses,
                _ => known,
            },
        }
    }

    /// Notes what a declared name has resolved to.
    fn note(&self, name: &str, addresses: &[IpAddr], until: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(name) {
            Some(last) if last.addresses == addresses => last.until = until,
            _ => {
                let addresses = addresses.to_vec();
                last.insert(name.to_string(), Last { addresses, until });
            }
        }
    }

    /// Addresses of `name`, IPv4 first; an address stands for itself.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self.at_hand(name).await? {
            Some(addresses) => Ok(addresses),
            None => Ok(self.look_up(name).await?.0),
        }
    }

    /// Addresses that the system is not asked for.
    async fn at_hand(&self, name: &str) -> io::Result<Option<Vec<IpAddr>>> {
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(Some(vec![address]));
        }
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if let Some(addresses) = self.fixed.get(&plain) {
            return Ok(Some(addresses.clone()));
        }
        match &self.forwarder {
            Some(forwarder) => Box::pin(forwarder.resolve(&plain)).await,
            None => Ok(None),
        }
    }

    /// What the system says of `name`, which it searches its domains for where no dot ends it; and until when that holds.
    async fn look_up(&self, name: &str) -> io::Result<(Vec<IpAddr>, Instant)> {
        let Some(system) = &self.system else {
            return Err(io::Error::other(format!(
                "{name} is no fixed name and this system has no resolver"
            )));
        };
        // In a box, as the forwarder's answer: every request has room for what may be asked on its way, and few ask.
        let found = Box::pin(system.lookup_ip(name.to_ascii_lowercase())).await;
        let found = found.map_err(|error| {
            // So that what does not exist can be told from a server that does not answer.
            let kind = if error.is_nx_domain() {
                ErrorKind::NotFound
            } else {
                ErrorKind::Other
            };
            io::Error::new(kind, error)
        })?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok((addresses, found.valid_until()))
    }
}

/// Whether a look-up failed because there is no address of a name that there is.
pub(super) fn has_no_address(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<NetError>());
    cause.is_some_and(|cause| cause.is_no_records_found() && !cause.is_nx_domain())
}

/// What c-ares, Envoy's resolver, asks a server about: labels of up to 63 of these letters; and addresses, which need none.
/// One of IPv6 within brackets, as a Host has it, Envoy takes for a name that is none.
fn is_asked_for(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let known = |letter: u8| letter.is_ascii_alphanumeric() || b"-_/*".contains(&letter);
    let mut labels = name.split('.');
    name.len() <= 253 && labels.all(|label| (1..=63).contains(&label.len()) && label.bytes().all(known))
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddr, UdpSocket},
        thread,
        time::Duration,
    };

    use hickory_proto::{
        op::{Message, MessageType, OpCode},
        rr::{Name, RData, Record, RecordType, rdata::A},
    };
    use hickory_resolver::{
        config::{NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };

    use super::*;

    /// A DNS server of the test's own, which makes of each question what `answers` says, or nothing.
    pub fn server(mut answers: impl FnMut(&Message) -> Option<Message> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(answer) = answers(&question) {
                    socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
                }
            }
        });
        address
    }

    /// The answer to `question` that has these addresses where IPv4 is asked for, and none of IPv6.
    pub fn answer(question: &Message, addresses: &[Ipv4Addr], ttl: u32) -> Message {
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        let asked = &question.queries[0];
        answer.add_query(asked.clone());
        if asked.query_type() == RecordType::A {
            let record = |address: &Ipv4Addr| Record::from_rdata(asked.name().clone(), ttl, RData::A(A(*address)));
            answer.add_answers(addresses.iter().map(record).collect::<Vec<_>>());
        }
        answer
    }

    /// A resolver that asks `server`, and searches these domains.
    pub fn asking(server: SocketAddr, search: &[&str]) -> Resolver {
        let mut asked = NameServerConfig::udp(server.ip());
        asked.connections[0].port = server.port();
        let search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
        let config = ResolverConfig::from_parts(None, search, vec![asked]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().timeout = Duration::from_secs(20);
        Resolver {
            system: Some(builder.build().unwrap()),
            ..Resolver::new(Arc::default(), Unresolved::default())
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_server_that_falls_silent_about_a_name_that_is_known() {
        let mut left = 2;
        let server = server(move |question| {
            left -= 1;
            (left >= 0).then(|| answer(question, &[[10, 0, 0, 1].into()], 1))
        });
        let resolver = asking(server, &[]);
        let known = [IpAddr::from([10, 0, 0, 1])];
        assert_eq!(resolver.resolve_declared("a.example").await, known);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        for _ in 0..3 {
            let found = tokio::time::timeout(Duration::from_secs(10), resolver.resolve_declared("a.example"));
            assert_eq!(found.await.expect("it does not wait"), known);
        }
    }

    #[tokio::test]
    async fn an_address_that_has_changed_is_found_when_the_one_before_is_over() {
        let mut asked = 0;
        let server = server(move |question| {
            asked += u8::from(question.queries[0].query_type() == RecordType::A);
            Some(answer(question, &[[10, 0, 0, asked].into()], 1))
        });
        let resolver = asking(server, &[]);
        assert_eq!(
            resolver.resolve_declared("a.example").await,
            [IpAddr::from([10, 0, 0, 1])]
        );
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let changed = async {
            while resolver.resolve_declared("a.example").await == [IpAddr::from([10, 0, 0, 1])] {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), changed).await.unwrap();
    }

    #[test]
    fn what_is_no_name_is_looked_up_nowhere() {
        for name in [
            "a.com",
            "a_b.com",
            "-a.com",
            "*.a.com",
            "single",
            "256.1.1.1",
            "a.com.",
            "::1",
        ] {
            assert!(is_asked_for(name), "{name}");
        }
        let long = "a".repeat(64);
        let longer = [&long[..60]; 5].join(".");
        for name in [
            "",
            ".com",
            "x..com",
            "a..",
            "a%.com",
            "a:b",
            "[a]",
            "[fd00::1]",
            "a@b.com",
            &long,
            &longer,
        ] {
            assert!(!is_asked_for(name), "{name}");
        }
    }
}
