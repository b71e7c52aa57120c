//! The way to the Services of a cluster that this process is not in: a forwarder on loopback, run by whoever has a
//! connection to the API server, knows their names and addresses and carries connections to them.
//!
//! One question a connection, on one line: `TOKEN resolve NAME NAMESPACE` or `TOKEN connect ADDRESS:PORT`. One line as the
//! answer: `ok` with the addresses, or followed by the stream; `none` for what is not the cluster's; `error` with a sentence.
//! The token keeps other users of the machine out.

use std::{
    env, fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest answer; a headless Service can have many pods.
const MAX_ANSWER: usize = 16 * 1024;

/// Asks a forwarder. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Forwarder(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    address: SocketAddr,
    token: String,
    namespace: String,
}

impl Forwarder {
    /// The variable that names one, as `ADDRESS:PORT TOKEN`: command lines can be read by every user.
    pub const VARIABLE: &str = "EGRET_FORWARDER";

    /// The forwarder at `address`, asked on behalf of a workload in `namespace`.
    pub fn new(address: SocketAddr, token: &str, namespace: &str) -> Self {
        Self(Arc::new(Inner {
            address,
            token: token.to_string(),
            namespace: namespace.to_string(),
        }))
    }

    /// The one that the environment names.
    pub fn from_environment(namespace: &str) -> Result<Option<Self>, String> {
        let Ok(text) = env::var(Self::VARIABLE) else {
            return Ok(None);
        };
        let named = text
            .split_once(' ')
            .and_then(|(address, token)| Some(Self::new(address.parse().ok()?, token, namespace)));
        let named = named.ok_or_else(|| format!("{}: expected ADDRESS:PORT TOKEN", Self::VARIABLE));
        named.map(Some)
    }

    /// Connects to an address of the cluster; `None` for any other. The error says why it cannot be reached.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<Option<TcpStream>> {
        let (stream, answer) = self.ask(&format!("connect {to}")).await?;
        Ok(answer.map(|_| stream))
    }

    /// Addresses of a name of the cluster, short ones as a pod of the namespace has them; `None` for any other name.
    pub async fn resolve(&self, name: &str) -> io::Result<Option<Vec<IpAddr>>> {
        // What is asked comes from the command: a name with a space in it would be another question.
        if name.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return Ok(None);
        }
        let question = format!("resolve {name} {}", self.0.namespace);
        let (_, answer) = self.ask(&question).await?;
        Ok(answer.map(|words| words.split(' ').filter_map(|word| word.parse().ok()).collect()))
    }

    async fn ask(&self, question: &str) -> io::Result<(TcpStream, Option<String>)> {
        let mut stream = TcpStream::connect(self.0.address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("the way into the cluster is closed: {error}")))?;
        stream.set_nodelay(true)?;
        let line = format!("{} {question}\n", self.0.token);
        stream.write_all(line.as_bytes()).await?;
        let answer = read_line(&mut stream).await?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("ok", rest) => Ok((stream, Some(rest.to_string()))),
            ("none", _) => Ok((stream, None)),
            ("error", why) => {
                tracing::warn!("{why}");
                Err(io::Error::other(why.to_string()))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the way into the cluster gives no answer that can be read",
            )),
        }
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token.
        f.debug_tuple("Forwarder").field(&self.0.address).finish()
    }
}

/// Byte by byte: what follows the line belongs to whoever asked.
async fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if line.len() == MAX_ANSWER => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too long an answer"));
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncBufReadExt as _, io::BufReader, net::TcpListener};

    use super::*;

    /// Answers each question with what `answers` says, and sends the rest of it behind.
    async fn forwarder(answers: &'static [(&'static str, &'static str)]) -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut question = String::new();
                stream.read_line(&mut question).await.unwrap();
                let answer = answers.iter().find(|(asked, _)| *asked == question.trim_end());
                let answer = answer.unwrap_or_else(|| panic!("{question}")).1;
                stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Forwarder::new(address, "t", "shop")
    }

    #[tokio::test]
    async fn what_follows_the_answer_is_the_stream() {
        let asked = forwarder(&[
            ("t connect 10.0.0.1:80", "ok\nhello"),
            ("t connect 192.0.2.1:80", "none\n"),
        ])
        .await;
        let stream = asked.connect("10.0.0.1:80".parse().unwrap()).await.unwrap();
        let mut said = String::new();
        stream.unwrap().read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
        assert!(asked.connect("192.0.2.1:80".parse().unwrap()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn names_are_asked_on_behalf_of_the_namespace_and_never_as_another_question() {
        let asked = forwarder(&[
            ("t resolve cart shop", "ok 10.0.0.1 fd00::1\n"),
            ("t resolve gone shop", "error the cluster is away\n"),
        ])
        .await;
        let found = asked.resolve("cart").await.unwrap().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            asked.resolve("gone").await.unwrap_err().to_string(),
            "the cluster is away"
        );
        assert_eq!(asked.resolve("a shop\nt connect 10.0.0.1:22").await.unwrap(), None);
        assert!(!format!("{asked:?}").contains("\"t\""));
    }
}
