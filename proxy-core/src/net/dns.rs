//! DNS that a sidecar answers: the names that it knows itself, then the rest, by this system's resolver or by the servers
//! that were asked.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime, task,
    time::timeout,
};

use super::{Forwarder, ResolvConf, Resolver, Unresolved, accept, resolve::has_no_address};

/// Seconds that resolved answers may be kept: names may be mapped anew while a sandbox runs.
const TTL: u32 = 5;

/// The same of names that are known: Istio's (`defaultTTLInSeconds`).
const TTL_KNOWN: u32 = 30;

/// How long a server may take: Istio's (`DefaultUpstreamTimeout`).
const UPSTREAM: Duration = Duration::from_secs(5);

/// Questions answered at the same time, and connections that may ask them.
const AT_ONCE: usize = 256;

/// How long a connection may ask nothing. Source: RFC 7766, section 6.2.3: of the order of a few seconds.
const SILENCE: Duration = Duration::from_secs(10);

/// Addresses of a name that the sidecar answers itself; `None` for another one's.
pub type KnownNames = Arc<dyn Fn(&str) -> Option<Vec<IpAddr>> + Send + Sync>;

/// Who answers what is not known.
#[derive(Debug, Clone)]
pub enum OtherNames {
    /// Fixed names, those of a cluster, then this system's resolver: addresses alone, as in a sandbox.
    Resolved(Arc<HashMap<String, Vec<IpAddr>>>, Option<Forwarder>),
    /// The servers of this configuration, which get the question as it came.
    Asked(ResolvConf),
}

/// Who answers.
#[derive(Clone)]
struct Answers {
    known: KnownNames,
    others: Others,
}

#[derive(Clone)]
enum Others {
    Resolver(Arc<Resolver>),
    Servers(Arc<ResolvConf>),
}

/// How a question came, and is asked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
}

/// Answers until the process ends; blocks its thread.
pub fn serve_dns(udp: UdpSocket, tcp: TcpListener, known: KnownNames, others: OtherNames) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let udp = Arc::new(tokio::net::UdpSocket::from_std(udp)?);
        let tcp = tokio::net::TcpListener::from_std(tcp)?;
        let others = match others {
            OtherNames::Resolved(fixed, forwarder) => {
                let resolver = Resolver::new(fixed, Unresolved::default());
                Others::Resolver(Arc::new(resolver.through(forwarder)))
            }
            OtherNames::Asked(servers) => Others::Servers(Arc::new(servers)),
        };
        let answers = Answers { known, others };
        task::spawn(over_tcp(tcp, answers.clone()));
        let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let mut buffer = [0; 1500];
        loop {
            let (length, source) = udp.recv_from(&mut buffer).await?;
            let bytes = &buffer[..length];
            let Some(question) = question(bytes) else { continue };
            // What is known needs nobody, and is answered however many wait for others.
            if let Some(answer) = answers.known(&question, Over::Udp) {
                // The asker may be gone.
                let _ = udp.send_to(&answer, source).await;
                continue;
            }
            // Beyond the bound the question is dropped, as a busy resolver does; the asker tries again.
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                continue;
            };
            let (bytes, udp, answers) = (bytes.to_vec(), udp.clone(), answers.clone());
            task::spawn(async move {
                if let Some(answer) = answers.ask(&question, &bytes, Over::Udp).await {
                    let _ = udp.send_to(&answer, source).await;
                }
                drop(slot);
            });
        }
    })
}

async fn over_tcp(listener: tokio::net::TcpListener, answers: Answers) {
    let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    // The semaphore is never closed.
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let (mut stream, _) = accept(&listener).await;
        let answers = answers.clone();
        task::spawn(async move {
            while let Ok(Ok(question)) = timeout(SILENCE, read_framed(&mut stream)).await {
                let Some(answer) = answers.answer(&question, Over::Tcp).await else {
                    break;
                };
                if !matches!(timeout(SILENCE, write_framed(&mut stream, &answer)).await, Ok(Ok(()))) {
                    break;
                }
            }
            drop(slot);
        });
    }
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_u16(length).await?;
    stream.write_all(message).await
}

/// What a message asks; `None` for what is no question.
fn question(bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let asks = message.metadata.message_type == MessageType::Query && !message.queries.is_empty();
    asks.then_some(message)
}

/// An answer without any record yet.
fn answer_to(question: &Message) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.first().cloned());
    answer
}

fn asks_for_addresses(asked: &Query) -> bool {
    asked.query_class() == DNSClass::IN && matches!(asked.query_type(), RecordType::A | RecordType::AAAA)
}

impl Answers {
    /// The answer to one message; `None` for what is no question.
    async fn answer(&self, bytes: &[u8], over: Over) -> Option<Vec<u8>> {
        let question = question(bytes)?;
        match self.known(&question, over) {
            Some(answer) => Some(answer),
            None => self.ask(&question, bytes, over).await,
        }
    }

    /// The answer that the sidecar has itself.
    fn known(&self, question: &Message, over: Over) -> Option<Vec<u8>> {
        let asked = question.queries.first().filter(|asked| asks_for_addresses(asked))?;
        let (alias, addresses) = self.find(asked.name())?;
        let mut answer = answer_to(question);
        answer.metadata.authoritative = true;
        if let Some(alias) = &alias {
            let data = RData::CNAME(rdata::CNAME(alias.clone()));
            answer.add_answer(Record::from_rdata(asked.name().clone(), TTL_KNOWN, data));
        }
        let name = alias.as_ref().unwrap_or(asked.name());
        answer.add_answers(records(name, asked.query_type(), TTL_KNOWN, addresses));
        fitting(&answer, question, over)
    }

    /// The answer that others have to the question of these bytes.
    async fn ask(&self, question: &Message, bytes: &[u8], over: Over) -> Option<Vec<u8>> {
        let asked = question.queries.first()?;
        let mut answer = answer_to(question);
        match &self.others {
            Others::Servers(conf) => {
                if let Some(answer) = asked_on(bytes, over, &conf.servers).await {
                    return Some(answer);
                }
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            // Services, mail and the like are not needed to connect; an empty answer says so at once.
            Others::Resolver(_) if !asks_for_addresses(asked) => {}
            // The name as it came, with its final dot: whoever asks has searched its domains already.
            Others::Resolver(resolver) => match resolver.resolve(&asked.name().to_ascii()).await {
                Ok(addresses) => {
                    answer.add_answers(records(asked.name(), asked.query_type(), TTL, addresses));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                Err(error) if has_no_address(&error) => {}
                Err(_) => answer.metadata.response_code = ResponseCode::ServFail,
            },
        }
        fitting(&answer, question, over)
    }

    /// The addresses of a name that is known; with the name that it stands for where it was asked for below the first domain
    /// that is searched, as Istio does, so that the searching ends with it.
    fn find(&self, name: &Name) -> Option<(Option<Name>, Vec<IpAddr>)> {
        // As it is written in policy: what `xn--` stands for is for people.
        let text = name.to_ascii();
        if let Some(addresses) = (self.known)(&text) {
            return Some((None, addresses));
        }
        let Others::Servers(conf) = &self.others else {
            return None;
        };
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        let stem = text.strip_suffix(conf.search.first()?)?.strip_suffix('.')?;
        let addresses = (self.known)(stem)?;
        Some((Some(Name::from_ascii(format!("{stem}.")).ok()?), addresses))
    }
}

fn records(name: &Name, wanted: RecordType, ttl: u32, addresses: Vec<IpAddr>) -> Vec<Record> {
    let data = addresses.into_iter().filter_map(|address| match (address, wanted) {
        (IpAddr::V4(address), RecordType::A) => Some(RData::A(rdata::A(address))),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(rdata::AAAA(address))),
        _ => None,
    });
    data.map(|data| Record::from_rdata(name.clone(), ttl, data)).collect()
}

/// An answer as long as the asker takes one; else the word that it is longer, upon which it asks over TCP.
fn fitting(answer: &Message, question: &Message, over: Over) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    if over == Over::Udp && bytes.len() > usize::from(question.max_payload()) {
        return answer.truncate().to_vec().ok();
    }
    Some(bytes)
}

/// What the first of `servers` that answers says.
async fn asked_on(question: &[u8], over: Over, servers: &[SocketAddr]) -> Option<Vec<u8>> {
    for server in servers {
        let answer = async {
            match over {
                Over::Udp => asked_over_udp(question, *server).await,
                Over::Tcp => asked_over_tcp(question, *server).await,
            }
        };
        match timeout(UPSTREAM, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%server, %error, "a DNS server fails"),
            Err(_) => tracing::debug!(%server, "a DNS server does not answer"),
        }
    }
    None
}

async fn asked_over_udp(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A socket of its own: nobody knows the port that an answer is awaited on.
    let socket = tokio::net::UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = &buffer[..length];
        if answer.get(..2) == question.get(..2) {
            return Ok(answer.to_vec());
        }
    }
}

async fn asked_over_tcp(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, question).await?;
    read_framed(&mut stream).await
}

#[cfg(test)]
mod tests;
