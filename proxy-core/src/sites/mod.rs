//! The playground's own external sites: servers that answer like httpbin, and a TCP echo that speaks first. They listen
//! on loopback; `map` says which addresses of 198.18.0.0/15 (RFC 2544, on no real network) stand for them.

mod authority;
mod echo;
mod playground;
mod web;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
};

use tokio::runtime;

pub use playground::{MANIFESTS, write_playground};

/// One site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Its name in the sandbox's DNS.
    pub host: &'static str,
    /// Its address there.
    pub address: Ipv4Addr,
    /// Its ports.
    pub ports: &'static [u16],
    /// What it is.
    pub what: &'static str,
}

/// All sites of the playground.
pub const SITES: [Site; 5] = [
    Site {
        host: "httpbin.org",
        address: Ipv4Addr::new(198, 18, 0, 10),
        ports: &[80, 443],
        what: "HTTP and HTTPS, answers like httpbin",
    },
    Site {
        host: "www.google.com",
        address: Ipv4Addr::new(198, 18, 0, 20),
        ports: &[80, 443],
        what: "HTTP and HTTPS, answers like httpbin",
    },
    Site {
        host: "edition.cnn.com",
        address: Ipv4Addr::new(198, 18, 0, 30),
        ports: &[80, 443],
        what: "HTTP and HTTPS, answers like httpbin",
    },
    Site {
        host: "api.example.com",
        address: Ipv4Addr::new(198, 18, 0, 40),
        ports: &[80],
        what: "HTTP, answers like httpbin",
    },
    Site {
        host: "mongo.example.com",
        address: Ipv4Addr::new(198, 18, 0, 50),
        ports: &[27017],
        what: "TCP, speaks first, then echoes",
    },
];

/// The running sites.
#[derive(Debug)]
pub struct Sites {
    /// `--map` of the sidecar.
    pub map: Vec<(SocketAddr, SocketAddr)>,
    /// `--host` of the sidecar.
    pub hosts: Vec<(String, IpAddr)>,
    /// The certificate authority's file, for SSL_CERT_FILE and CURL_CA_BUNDLE; never installed in the system.
    pub ca: PathBuf,
}

/// Why the sites cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SitesError {
    /// Certificates cannot be made.
    #[error("the playground's certificates cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up with them.
    #[error("the playground's TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A socket, a file or a thread cannot be had.
    #[error("the playground's sites cannot start: {0}")]
    Io(#[from] io::Error),
}

impl Sites {
    /// Starts all sites; they run until the process ends. The authority's certificate is written into `folder`.
    pub fn start(folder: &Path) -> Result<Self, SitesError> {
        let authority = authority::make(
            SITES
                .iter()
                .filter(|site| site.ports.contains(&443))
                .map(|site| site.host),
        )?;
        let ca = folder.join("playground-ca.pem");
        std::fs::write(&ca, &authority.pem)?;
        let (plain, secure, echo) = (listen()?, listen()?, listen()?);
        let addresses = (plain.local_addr()?, secure.local_addr()?, echo.local_addr()?);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("sites".into()).spawn(move || {
            runtime.block_on(async {
                let served = tokio::try_join!(web::plain(plain), web::secure(secure, authority.tls), echo::serve(echo));
                if let Err(error) = served {
                    tracing::error!(%error, "the playground's sites ended");
                }
            });
        })?;
        let listener = |port: u16| match port {
            80 => addresses.0,
            443 => addresses.1,
            _ => addresses.2,
        };
        let map = SITES
            .iter()
            .flat_map(|site| {
                site.ports
                    .iter()
                    .map(|port| (SocketAddr::from((site.address, *port)), listener(*port)))
            })
            .collect();
        let hosts = SITES
            .iter()
            .map(|site| (site.host.to_string(), site.address.into()))
            .collect();
        Ok(Self { map, hosts, ca })
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
