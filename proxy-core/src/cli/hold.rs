//! `egret-proxy capture hold`: interception rules for a pod that runs already, and that nothing can be taken out of again.
//! They are in force for as long as the sidecar wants them and this process lives. `apply` waits here for a sidecar too.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::{self, Instant},
};

use crate::{
    control::{END, HOLD, LIVE},
    sandbox::{self, Held, Plan, Refused},
};

/// Longest that the sidecar may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries: it is a pod's start that waits.
const REST: Duration = Duration::from_millis(20);

/// Why no rules are held.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The kernel does not take them.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody would take the connections.
    #[error("no sidecar answers at {0}: {1}; nothing is redirected")]
    NoSidecar(SocketAddr, io::Error),
    /// Somebody would have it end before the sidecar is there.
    #[error("told to end before the sidecar at {0} was ready; nothing is redirected")]
    Told(SocketAddr),
    /// The system gives no thread or signal.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Returns once the sidecar whose admin server is at `sidecar` has its policy and takes connections.
pub fn until_ready(sidecar: SocketAddr) -> Result<(), Fault> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { connect(&mut Ends::new()?, sidecar, "/ready", LIVE).await.map(drop) })
}

/// Holds the rules of `plan` until the sidecar whose admin server is at `sidecar` ends, or this process is told to.
pub fn hold(plan: &Plan, sidecar: SocketAddr) -> Result<(), Fault> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ends = Ends::new()?;
        let mut lines = connect(&mut ends, sidecar, "/hold", HOLD).await?;
        let held = sandbox::hold(plan)?;
        eprintln!("egret-proxy: connections are redirected until the sidecar ends");
        if let Held::Iptables(lacking) = &held {
            eprintln!(
                "egret-proxy: {}; the rules are in the tables of iptables instead, where they stay if this process is killed \
                 (SIGKILL): `egret-proxy capture remove` takes them away then",
                lacking.cause()
            );
        }
        tokio::select! {
            () = lines.end() => {}
            () = ends.told() => {}
        }
        // Before the connection to the sidecar, which waits for the rules to be gone.
        held.end()?;
        eprintln!("egret-proxy: the rules are gone");
        Ok(())
    })
}

/// The signals that tell this process to end. As a container's first process it would not end by itself.
struct Ends(Signal, Signal);

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// What the sidecar says; it says at once that it is there.
struct Lines(BufReader<TcpStream>);

/// Asks for `path` until the line `wanted` comes: the sidecar may still be starting.
async fn connect(ends: &mut Ends, sidecar: SocketAddr, path: &str, wanted: &str) -> Result<Lines, Fault> {
    let until = Instant::now() + PATIENCE;
    let trying = async {
        loop {
            match time::timeout(PATIENCE, ask(sidecar, path, wanted))
                .await
                .unwrap_or_else(|late| Err(late.into()))
            {
                Err(_) if Instant::now() < until => time::sleep(REST).await,
                outcome => return outcome.map_err(|error| Fault::NoSidecar(sidecar, error)),
            }
        }
    };
    tokio::select! {
        outcome = trying => outcome,
        () = ends.told() => Err(Fault::Told(sidecar)),
    }
}

async fn ask(sidecar: SocketAddr, path: &str, wanted: &str) -> io::Result<Lines> {
    let mut stream = TcpStream::connect(sidecar).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", sidecar.ip());
    stream.write_all(request.as_bytes()).await?;
    let mut lines = Lines(BufReader::new(stream));
    let mut first = lines.next().await?;
    if first.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("it says {first:?}")));
    }
    while first != wanted {
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
