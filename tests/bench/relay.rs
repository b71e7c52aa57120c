//! A relay of bytes, which reads nothing of what it passes on: the least that a proxy can take of a processor. `make bench-pod`
//! measures it beside the sidecar. `relay LISTEN UPSTREAM`

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

fn main() -> io::Result<()> {
    let mut addresses = env::args().skip(1);
    let (Some(listen), Some(upstream)) = (addresses.next(), addresses.next()) else {
        return Err(io::Error::other("usage: relay LISTEN UPSTREAM"));
    };
    for client in TcpListener::bind(listen)?.incoming() {
        let (client, server) = (client?, TcpStream::connect(&upstream)?);
        for (from, to) in [(&client, &server), (&server, &client)] {
            from.set_nodelay(true)?;
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            thread::spawn(move || relay(from, to));
        }
    }
    Ok(())
}

fn relay(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut room = [0; 16 * 1024];
    loop {
        match from.read(&mut room)? {
            0 => return to.shutdown(std::net::Shutdown::Write),
            size => to.write_all(&room[..size])?,
        }
    }
}
