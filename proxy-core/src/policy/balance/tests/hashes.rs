//! The endpoint that a hash leads to, and what is hashed, beside a real Envoy 1.40.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    super::{Balance, Balancer, Hashed, Members, Spread, hash_of, source_hash, table::Table, xx64},
    address, five, group,
};
use crate::model::{HashCookie, HashKey};

/// Whom Envoy 1.40 called of 127.0.0.1:21001 to :21005 for the header `x-user: user-0` to `user-199`.
const CALLED: [(&str, &str); 6] = [
    (
        "ring",
        "5452313245515211123451413354211432343134421115421555312554121541552254325222323152445252132523523124 \
     1434115432352141515232445513223355412325222544431222214223234111425422323551151413141141113255115154",
    ),
    (
        "ring7",
        "4442443111414414432315444115543441544324554145444445541154141241454114141544351444141142142444413124 \
     1141143241434144111531154153454314114422542314554541444151154342411444111214454413441543444414543334",
    ),
    (
        "ringw",
        "5455313245545451133552443554454452343135455115441555544554445545554554325221325152445252532543525424 \
     4434515435454555555232445553423555411355252544433222514543534141425424323551451445242344143555155154",
    ),
    (
        "ringloc",
        "5453313245545251123552433354454432343134451115421555534354145541554254325221323152445252532523525124 \
     1433115432354133515232445523223553411335222544431222214343234111425421323551151445142144143155115154",
    ),
    (
        "maglev",
        "2144452245333552413154554221254243254354212513342435352353344253345525213222411553521443541234241555 \
     2522432212135551331513133423454242331443151142135541411532411345312251222322235425351351413144242255",
    ),
    (
        "maglevw",
        "4145135454535252534354334522435254355325535352525555355212444344215154552345352243452423453155514445 \
     4234554153444444343344544455531444255534445154542353444552133124453343351452433455244553255321432513",
    ),
];

/// A request with these header lines.
#[derive(Debug)]
struct Request<'r>(&'r [(&'r str, &'r str)], &'r str);

impl Hashed for Request<'_> {
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let lines = self.0.iter().filter(|(own, _)| *own == name);
        lines.for_each(|(_, value)| each(value.as_bytes()));
    }

    fn path(&self) -> &str {
        self.1
    }

    fn source(&self) -> IpAddr {
        Ipv4Addr::new(127, 0, 0, 1).into()
    }
}

fn header(name: &str) -> HashKey {
    HashKey::Header(name.into())
}

fn no_cookie(_: &HashCookie) -> String {
    panic!("no cookie is asked for")
}

#[test]
fn a_hash_leads_where_envoy_goes() {
    let (alike, one) = ([1; 5], [0; 5]);
    let by_locality = Spread {
        places: Vec::new(),
        groups: vec![group(0, "a", 30), group(0, "b", 70)],
        by_locality: true,
    };
    for (name, called) in CALLED {
        let (balancer, members) = match name {
            "ring" => (Balancer::Ring { minimum: 1024 }, five(alike, one)),
            "ring7" => (Balancer::Ring { minimum: 7 }, five(alike, one)),
            "ringw" => (Balancer::Ring { minimum: 1024 }, five([1, 2, 3, 4, 5], one)),
            "ringloc" => (Balancer::Ring { minimum: 1024 }, five([1, 1, 2, 2, 2], [0, 0, 1, 1, 1])),
            "maglev" => (Balancer::Maglev { size: 65_537 }, five(alike, one)),
            _ => (Balancer::Maglev { size: 1009 }, five([1, 2, 3, 4, 5], one)),
        };
        let balance = Balance {
            balancer,
            spread: (name == "ringloc").then(|| by_locality.clone()),
            ..Balance::default()
        };
        let mut choice = Members::new(&balance, &members, 0);
        for (user, expected) in called.bytes().filter(u8::is_ascii_digit).enumerate() {
            let value = format!("user-{user}");
            let hash = hash_of(
                &[header("X-User")],
                &Request(&[("x-user", &value)], "/"),
                &mut no_cookie,
            );
            let chosen = choice.choose(hash, 0, |_| 0, |_| 1.0, || panic!("nothing is left to chance"));
            assert_eq!(chosen, Some(usize::from(expected - b'1')), "{value} by {name}");
        }
    }
}

/// The endpoint of the ring of five that the keys of a request lead to, by the last digit of its port.
fn called(keys: &[HashKey], request: &Request<'_>) -> Option<usize> {
    let shares: Vec<_> = (0..5)
        .map(|index| (index, address(21001 + index as u16), 0.2))
        .collect();
    let hash = hash_of(keys, request, &mut no_cookie)?;
    Table::ring(&shares, 1024).get(hash, 0).map(|index| index + 1)
}

#[test]
fn what_is_hashed_is_what_envoy_hashes() {
    let two = [header("x-user"), header("x-b")];
    for (number, expected) in "51335552432424521255342434514211231331235111141124".bytes().enumerate() {
        let (user, other) = (format!("user-{number}"), format!("b{number}"));
        let request = Request(&[("x-user", &user), ("x-b", &other)], "/");
        assert_eq!(
            called(&two, &request),
            Some(usize::from(expected - b'0')),
            "{request:?}"
        );
    }
    for (number, expected) in "131535153433".bytes().enumerate() {
        let (one, other) = (format!("l{number}"), format!("m{number}"));
        for lines in [
            [("x-user", &*one), ("x-user", &*other)],
            [("x-user", &*other), ("x-user", &*one)],
        ] {
            let request = Request(&lines, "/");
            assert_eq!(
                called(&two, &request),
                Some(usize::from(expected - b'0')),
                "{request:?}"
            );
        }
    }
    let query = [HashKey::QueryParameter("q".into())];
    for (path, expected) in [
        ("/x?q=user-3&q=user-4", Some(2)),
        ("/x?a=1&q=user-3", Some(2)),
        ("/x?q=user%2D3", Some(4)),
        ("/x?q=", Some(1)),
        ("/x?q", Some(1)),
        ("/x?Q=user-3", None),
        ("/x", None),
    ] {
        assert_eq!(called(&query, &Request(&[], path)), expected, "{path}");
    }
    let cookie = [HashKey::Cookie(HashCookie {
        name: "sess".into(),
        ..HashCookie::default()
    })];
    for (line, expected) in [
        ("a=b; sess=\"xyz\"", Some(2)),
        ("  sess=xyz", Some(2)),
        ("sess=xyz; sess=abc", Some(2)),
        ("a=\"b; sess=xyz\"", Some(4)),
        ("sess=", None),
        ("sess=\"\"", None),
        ("SESS=xyz", None),
    ] {
        assert_eq!(called(&cookie, &Request(&[("cookie", line)], "/")), expected, "{line}");
    }
    let source = [HashKey::SourceIp(true)];
    assert_eq!(called(&source, &Request(&[], "/")), Some(4));
    assert_eq!(called(&[HashKey::SourceIp(false)], &Request(&[], "/")), None);
}

#[test]
fn a_source_is_hashed_as_it_is_written() {
    let same = "127.0.0.1".parse().expect("an address");
    assert_eq!(source_hash(same), xx64::xx64(b"127.0.0.1", 0));
}
