//! HTTP to the API server and to istiod, each through one kubectl that stays: to start one for each question took most of a
//! world's time.

use std::{
    io::{self, BufRead as _, BufReader},
    net::{SocketAddr, TcpStream},
    process::Child,
    thread,
};

use egret_tests::mesh::Mesh;

use super::sender::exchange;

/// A way in, open until this is dropped.
pub struct Door {
    kubectl: Child,
    address: SocketAddr,
}

impl Door {
    /// To the API server, as `admin`.
    pub fn to_server(mesh: &Mesh) -> Result<Self, String> {
        Self::open(mesh, &["proxy", "--port=0"])
    }

    /// To what istiod says of itself.
    pub fn to_istiod(mesh: &Mesh) -> Result<Self, String> {
        let forward = ["port-forward", "--namespace=istio-system", "deploy/istiod", ":15014"];
        Self::open(mesh, &[&forward[..], &["--address=127.0.0.1"]].concat())
    }

    fn open(mesh: &Mesh, arguments: &[&str]) -> Result<Self, String> {
        let kubectl = mesh.stream(arguments);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut door = Self { kubectl, address };
        let mut said = BufReader::new(door.kubectl.stdout.take().expect("kubectl has pipes"));
        let mut line = String::new();
        said.read_line(&mut line).map_err(|error| error.to_string())?;
        // It says something of each connection, and waits until that is read.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        let address = line.split_whitespace().find_map(|word| word.parse().ok());
        door.address = address.ok_or_else(|| format!("kubectl {}: {line}", arguments.join(" ")))?;
        Ok(door)
    }

    /// The body of the answer, where that is a success. PATCH applies what is sent.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<String, Refusal> {
        let kind = match method {
            "PATCH" => "application/apply-patch+yaml",
            _ => "application/json",
        };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n"
        );
        let failed = |why: &str| Refusal::Failed(format!("{method} {path}: {why}"));
        let stream = TcpStream::connect(self.address).map_err(|error| failed(&error.to_string()))?;
        let seen = exchange(stream, &head, body);
        let status = seen.head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        match status {
            Some(200..300) if seen.end == "answered" => Ok(seen.body),
            Some(400..500) => Err(Refusal::Refused(seen.body)),
            _ => Err(failed(&format!("{seen:?}"))),
        }
    }
}

/// Why a question got no good answer.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// What was sent is not taken: this is said of it.
    Refused(String),
    /// Something is wrong.
    Failed(String),
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Refused(said) | Refusal::Failed(said) => said,
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
