//! How byte streams end: a reset goes on as a reset, and only one of the site's is a flag of the row, as with Envoy.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use crate::{
    site::{self, Site},
    subject::{PATIENCE, Subject, eventually, host, map, mesh},
};

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A sidecar, and a connection through it to `site`.
fn through_to(site: &Site) -> (Subject, TcpStream) {
    let options = [
        host("db.example.com", "198.18.0.50"),
        map("198.18.0.50:5432", site.address),
    ]
    .concat();
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &options);
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "CONNECT db.example.com:5432 HTTP/1.1\r\n\r\n").unwrap();
    stream.read_exact(&mut vec![0; ESTABLISHED.len()]).unwrap();
    (subject, stream)
}

#[test]
fn a_reset_by_the_site_reaches_the_client_and_its_row_says_so() {
    let site = site::resets();
    let (subject, mut stream) = through_to(&site);
    stream.write_all(b"hi").unwrap();
    let ended = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    let row = &subject.log(1)[0];
    assert!(row.contains("\"- - -\" 0 UR - - \"-\" 2 0 "), "{row}");
}

#[test]
fn a_site_that_has_closed_when_more_comes_is_no_fault_in_the_row() {
    let site = site::hangs_up();
    let (subject, mut stream) = through_to(&site);
    stream.write_all(b"hi").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // The first byte is answered with a reset, and what comes later cannot be written at all.
    let written: io::Result<()> = (0..1_000).try_for_each(|_| stream.write_all(&[0; 1024]));
    drop((written, stream));
    let row = &subject.log(1)[0];
    assert!(row.contains("\"- - -\" 0 - - - "), "{row}");
}

#[test]
fn a_reset_by_the_client_reaches_the_site_and_is_no_flag() {
    let site = site::keeps_ends();
    let (subject, stream) = through_to(&site);
    eventually("the greeting", || (stream.peek(&mut [0; 5]).ok()? == 5).then_some(()));
    // The greeting is left unread.
    drop(stream);
    let end = eventually("the site to see the end", || {
        Some(site.last_head()).filter(|head| !head.is_empty())
    });
    assert_eq!(end, ErrorKind::ConnectionReset.to_string());
    let row = &subject.log(1)[0];
    assert!(row.contains("\"- - -\" 0 - - - \"-\" 0 5 "), "{row}");
}
