//! A TCP service that speaks first, as databases and mail servers do, then gives back every byte.

use std::{io, net::TcpListener};

use tokio::{io::AsyncWriteExt, task};

use crate::net;

/// What it says first.
const GREETING: &[u8] = b"playground echo ready\n";

pub(super) async fn serve(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = net::accept(&listener).await;
        task::spawn(async move {
            let (mut read, mut write) = stream.split();
            // A caller that goes away ends its own connection only.
            if write.write_all(GREETING).await.is_ok() {
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
    }
}
