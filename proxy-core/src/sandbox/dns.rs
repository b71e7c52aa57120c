//! The sandbox's DNS: fixed names first, then those of a cluster, everything else through the host's resolver.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, RData, Record, RecordType, rdata},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime, task,
};

use crate::net::{Forwarder, Resolver, Unresolved};

/// Seconds that answers may be kept: names may be mapped anew while a sandbox runs.
const TTL: u32 = 5;

/// Questions answered at the same time.
const AT_ONCE: usize = 256;

/// Answers until the process ends; blocks its thread.
pub fn serve(
    udp: UdpSocket,
    tcp: TcpListener,
    hosts: Arc<HashMap<String, Vec<IpAddr>>>,
    forwarder: Option<Forwarder>,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let udp = Arc::new(tokio::net::UdpSocket::from_std(udp)?);
        let tcp = tokio::net::TcpListener::from_std(tcp)?;
        let resolver = Resolver::new(hosts, Unresolved::default()).through(forwarder);
        task::spawn(over_tcp(tcp, resolver.clone()));
        let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let mut buffer = [0; 1500];
        loop {
            let (length, source) = udp.recv_from(&mut buffer).await?;
            // Beyond the bound the question is dropped, as a busy resolver does; the asker tries again.
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                continue;
            };
            let (question, udp, resolver) = (buffer[..length].to_vec(), udp.clone(), resolver.clone());
            task::spawn(async move {
                if let Some(answer) = answer(&question, &resolver).await {
                    // The asker may be gone.
                    let _ = udp.send_to(&answer, source).await;
                }
                drop(slot);
            });
        }
    })
}

async fn over_tcp(listener: tokio::net::TcpListener, resolver: Resolver) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            continue;
        };
        let resolver = resolver.clone();
        task::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; usize::from(length)];
                if stream.read_exact(&mut question).await.is_err() {
                    return;
                }
                let Some(answer) = answer(&question, &resolver).await else {
                    return;
                };
                let Ok(length) = u16::try_from(answer.len()) else {
                    return;
                };
                if stream.write_u16(length).await.is_err() || stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The answer to one message; `None` for what is no question.
async fn answer(question: &[u8], resolver: &Resolver) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    if question.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    let asked = question.queries.first()?;
    answer.add_query(asked.clone());
    let wanted = asked.query_type();
    if asked.query_class() != DNSClass::IN || !matches!(wanted, RecordType::A | RecordType::AAAA) {
        // Services, mail and the like are not needed to connect; an empty answer says so at once.
        return answer.to_vec().ok();
    }
    match resolver.resolve(&asked.name().to_utf8()).await {
        Ok(addresses) => {
            for address in addresses {
                let data = match (address, wanted) {
                    (IpAddr::V4(address), RecordType::A) => RData::A(rdata::A(address)),
                    (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(rdata::AAAA(address)),
                    _ => continue,
                };
                answer.add_answer(Record::from_rdata(asked.name().clone(), TTL, data));
            }
        }
        Err(_) => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.to_vec().ok()
}
