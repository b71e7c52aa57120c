//! DNS beside a sidecar: the names that its policy has addresses for, in force with the policy.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    thread,
};

use crate::{
    control::Sidecar,
    net::{KnownNames, OtherNames, serve_dns},
};

/// Answers on these sockets until the process ends, each pair on a thread of its own.
pub fn answer(sockets: Vec<(UdpSocket, TcpListener)>, sidecar: &Sidecar, others: OtherNames) -> io::Result<()> {
    let (snapshot, _) = sidecar.in_force();
    let known: KnownNames = Arc::new(move |name| Some(snapshot.load().dns_names()?.find(name)?.to_vec()));
    for (udp, tcp) in sockets {
        let (known, others) = (known.clone(), others.clone());
        thread::Builder::new().name("dns".into()).spawn(move || {
            if let Err(error) = serve_dns(udp, tcp, known, others) {
                tracing::error!(%error, "DNS is not answered any more");
            }
        })?;
    }
    Ok(())
}

/// Opens the sockets of one address, for both ways in which DNS is asked.
pub fn listen(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(address)?;
    Ok((udp, TcpListener::bind(address)?))
}
