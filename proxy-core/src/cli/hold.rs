//! `egret-proxy capture hold`: interception rules for a pod that runs already, and that nothing can be taken out of again.
//! They are in force for as long as the sidecar wants them and this process lives.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime,
    signal::unix::{SignalKind, signal},
    time::{self, Instant},
};

use crate::{
    control::{END, HOLD},
    sandbox::{self, Plan, Refused},
};

/// Longest that the sidecar may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_millis(200);

/// Why no rules are held.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The kernel does not take them.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody would take the connections.
    #[error("no sidecar answers at {0}: {1}; nothing is redirected")]
    NoSidecar(SocketAddr, io::Error),
    /// The system gives no thread or signal.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Holds the rules of `plan` until the sidecar whose admin server is at `sidecar` ends, or this process is told to.
pub fn hold(plan: &Plan, sidecar: SocketAddr) -> Result<(), Fault> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut lines = connect(sidecar)
            .await
            .map_err(|error| Fault::NoSidecar(sidecar, error))?;
        let held = sandbox::hold(plan)?;
        eprintln!("egret-proxy: connections are redirected until the sidecar ends");
        tokio::select! {
            () = lines.end() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Before the connection to the sidecar, which waits for the rules to be gone.
        drop(held);
        eprintln!("egret-proxy: the rules are gone");
        Ok(())
    })
}

/// What the sidecar says; it says at once that it is there.
struct Lines(BufReader<TcpStream>);

/// The sidecar may still be starting.
async fn connect(sidecar: SocketAddr) -> io::Result<Lines> {
    let until = Instant::now() + PATIENCE;
    loop {
        match time::timeout(PATIENCE, ask(sidecar))
            .await
            .unwrap_or_else(|late| Err(late.into()))
        {
            Err(_) if Instant::now() < until => time::sleep(REST).await,
            outcome => return outcome,
        }
    }
}

async fn ask(sidecar: SocketAddr) -> io::Result<Lines> {
    let mut stream = TcpStream::connect(sidecar).await?;
    let request = format!("GET /hold HTTP/1.0\r\nHost: {}\r\n\r\n", sidecar.ip());
    stream.write_all(request.as_bytes()).await?;
    let mut lines = Lines(BufReader::new(stream));
    let mut first = lines.next().await?;
    if first.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("it says {first:?}")));
    }
    while first != HOLD {
        first = lines.next().await?;
    }
    Ok(lines)
}

impl Lines {
    async fn next(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_string()),
        }
    }

    /// Returns when the sidecar says that it ends, or is no more.
    async fn end(&mut self) {
        while self.next().await.is_ok_and(|line| line != END) {}
    }
}
