//! Registries as no honest one is; honest ones are in `tests/mesh/registry.rs`.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::Mutex,
    thread,
};

use super::*;
use crate::image::elf::{EM_X86_64, tests::still};

/// Requests that came, each with its head and body.
type Came = Arc<Mutex<Vec<String>>>;

/// A server that answers by the first line of a request: with a status and further header lines.
fn server(answer: impl Fn(&str) -> String + Send + 'static) -> (SocketAddr, Came) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let came: Came = Arc::default();
    let own = came.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            let whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).to_lowercase();
                let (head, _) = text.split_once("\r\n\r\n")?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                (request.len() >= head.len() + 4 + length).then_some(())
            };
            // A TLS handshake is not answered: none is spoken here.
            while request.first() != Some(&0x16) && whole(&request).is_none() {
                match stream.read(&mut piece) {
                    Ok(read @ 1..) => request.extend(&piece[..read]),
                    _ => break,
                }
            }
            if whole(&request).is_some() {
                let text = String::from_utf8_lossy(&request).into_owned();
                let answer = answer(text.lines().next().unwrap());
                own.lock().unwrap().push(text);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
            }
        }
    });
    (address, came)
}

/// Pushes to it, with a password for it.
async fn push(address: SocketAddr) -> Result<Pushed, Fault> {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::write(path("egret-proxy"), still(EM_X86_64)).unwrap();
    let config = format!(r#"{{"auths": {{"{address}": {{"username": "jane", "password": "hunter2"}}}}}}"#);
    fs::write(path("config.json"), config).unwrap();
    let keyrings = Keyrings {
        files: vec![path("config.json")],
        path: None,
    };
    let image = Built::of(&[path("egret-proxy")]).unwrap();
    let reference = format!("{address}/team/p:1").parse().unwrap();
    image.push(&reference, &keyrings, Arc::new(|_| {})).await
}

/// An honest registry with passwords, but for where it has a part uploaded.
fn registry(location: impl Fn() -> String + Send + 'static) -> (SocketAddr, Came) {
    server(move |line| match line {
        line if line.starts_with("GET /v2/ ") => "401 Unauthorized\r\nwww-authenticate: Basic realm=\"r\"".into(),
        line if line.starts_with("HEAD ") => "404 Not Found".into(),
        line if line.starts_with("POST ") => format!("202 Accepted\r\nlocation: {}", location()),
        _ => "201 Created".into(),
    })
}

fn secrets(came: &Came) -> usize {
    let came = came.lock().unwrap();
    came.iter()
        .filter(|request| request.to_lowercase().contains("authorization:"))
        .count()
}

#[tokio::test]
async fn the_password_is_for_the_registry_and_not_for_where_it_has_parts_uploaded() {
    let (store, stored) = server(|_| "201 Created".into());
    let (address, came) = registry(move || format!("http://{store}/bucket?signature=s"));
    let pushed = push(address).await.unwrap();
    assert!(pushed.by_digest.starts_with(&format!("{address}/team/p@sha256:")));
    assert_eq!(secrets(&stored), 0);
    let stored = stored.lock().unwrap();
    assert_eq!(stored.len(), 2, "the layer and the settings");
    assert!(
        stored
            .iter()
            .all(|request| request.starts_with("PUT /bucket?signature=s&digest=sha256%3A"))
    );
    drop(stored);
    assert_eq!(secrets(&came), came.lock().unwrap().len() - 1, "all but the first");
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_to_another_computer() {
    let (address, _) = registry(|| "http://example.invalid/upload?secret=s".into());
    let fault = push(address).await.unwrap_err();
    assert!(matches!(fault, Fault::Odd { .. }), "{fault:?}");
    let told = fault.to_string();
    assert!(
        told.contains("example.invalid without https") && !told.contains("secret"),
        "{told}"
    );

    let (address, came) =
        server(|_| "401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://example.invalid/token\"".into());
    let fault = push(address).await.unwrap_err();
    assert!(matches!(fault, Fault::Odd { .. }), "{fault:?}");
    assert_eq!(secrets(&came), 0);
}

#[tokio::test]
async fn what_a_registry_keeps_under_another_digest_is_not_taken_for_pushed() {
    let (address, _) = server(|line| match line {
        line if line.starts_with("GET /v2/ ") || line.starts_with("HEAD ") => "200 OK".into(),
        _ => "201 Created\r\ndocker-content-digest: sha256:00".into(),
    });
    let fault = push(address).await.unwrap_err().to_string();
    assert!(fault.contains("as sha256:00"), "{fault}");
}

#[tokio::test]
async fn a_registry_that_asks_for_something_else_or_answers_oddly_is_named() {
    for (answer, words) in [
        (
            "401 Unauthorized\r\nwww-authenticate: Negotiate",
            "another authentication",
        ),
        ("401 Unauthorized", "another authentication"),
        (
            "503 Service Unavailable",
            "answered 503 where its interface was asked for",
        ),
        ("HTTP", "broke off"),
    ] {
        let (address, _) = server(move |_| answer.into());
        let fault = push(address).await.unwrap_err().to_string();
        assert!(fault.contains(words) && fault.contains("127.0.0.1"), "{fault}");
    }
}
