//! The plan as messages to the kernel's nf_tables, which need no `nft`: a container image of one program has none. Names
//! and numbers are those of `linux/netfilter/nf_tables.h`; each test becomes the expressions that `nft` makes of it, so
//! that `nft list ruleset` shows the same rules.

use std::io;

use ipnet::IpNet;
use nix::{errno::Errno, sys::socket::SockProtocol};

use super::{
    netlink::{ACK, APPEND, CREATE, EXCLUSIVE, Netlink, attribute, message, nested, value},
    plan::{Action, Chain, ChainKind, Plan, Rule, TABLE, TRANSLATION, Test},
    refused::Refused,
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const GET_CHAIN: u16 = NEW_TABLE | 4;
const NEW_RULE: u16 = NEW_TABLE | 6;

/// `NFT_TABLE_F_OWNER`, since Linux 5.12: the kernel takes the table away when the socket that made it is closed.
const OWNED: u32 = 2;

const UNSPECIFIED: u8 = 0;
/// `NFPROTO_INET`: IPv4 and IPv6.
const INET: u8 = 1;
/// `NF_INET_LOCAL_OUT`
const OUTPUT: u32 = 3;
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const RETURN: i32 = -5;

/// The register that verdicts go to, and the one that everything else goes through.
const VERDICT: u32 = 0;
const REGISTER: u32 = 1;

const META_SKUID: u32 = 10;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// Puts the plan in force, in the place of what was applied before: all of it, or nothing changes.
pub fn apply(plan: &Plan) -> Result<(), Refused> {
    let mut batch = Batch::replacing();
    batch.add(NEW_TABLE, CREATE, table());
    batch.add_chains(plan);
    batch.commit(&open()?)
}

/// Rules that are in force for as long as this lives: the kernel takes them away when the process ends, however it ends.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "the rules go when it is closed")] Netlink);

/// Puts the plan in force where no rules of this program's are.
pub fn hold(plan: &Plan) -> Result<Held, Refused> {
    let mut owned = table();
    number(&mut owned, 2, OWNED);
    let mut batch = Batch(vec![(NEW_TABLE, CREATE | EXCLUSIVE, owned)]);
    batch.add_chains(plan);
    let socket = open()?;
    match batch.commit(&socket) {
        Ok(()) => Ok(Held(socket)),
        Err(Refused::System(error)) if error.raw_os_error() == Some(Errno::EEXIST as i32) => Err(Refused::Taken),
        Err(Refused::NoNat(error)) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {
            Err(Refused::NoOwner(error))
        }
        Err(refused) => Err(refused),
    }
}

/// Takes away what was applied; nothing is there afterwards, whether something was before or not.
pub fn remove() -> Result<(), Refused> {
    Batch::replacing().commit(&open()?)
}

/// True where somebody else's rules here translate what leaves, no later than the legacy tables do.
pub fn translates_for_others() -> io::Result<bool> {
    // struct nfgenmsg: of every family.
    let chains = open()?.list(GET_CHAIN, &[UNSPECIFIED, 0, 0, 0])?;
    let translates = |chain: &Vec<u8>| {
        let attributes = chain.get(4..).unwrap_or_default();
        let hook = value(attributes, 4);
        let number = |kind| value(hook, kind).first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
        value(attributes, 7) == b"nat\0"
            && number(1) == Some(OUTPUT.cast_signed())
            && number(2).is_some_and(|priority| priority <= TRANSLATION)
            && value(attributes, 1).strip_suffix(b"\0") != Some(TABLE.as_bytes())
    };
    Ok(chains.iter().any(translates))
}

fn open() -> io::Result<Netlink> {
    Netlink::open(SockProtocol::NetlinkNetFilter)
}

/// Messages that the kernel takes as one transaction: kind, flags, attributes.
struct Batch(Vec<(u16, u16, Vec<u8>)>);

impl Batch {
    /// Begins with the table gone. It is made first, so that there is one to delete.
    fn replacing() -> Self {
        Self(vec![(NEW_TABLE, CREATE, table()), (DELETE_TABLE, 0, table())])
    }

    fn add(&mut self, kind: u16, flags: u16, attributes: Vec<u8>) {
        self.0.push((kind, flags, attributes));
    }

    fn add_chains(&mut self, plan: &Plan) {
        for chain in &plan.chains {
            self.add(NEW_CHAIN, CREATE, chain_attributes(chain));
            for rule in &chain.rules {
                self.add(NEW_RULE, CREATE | APPEND, rule_attributes(chain, rule));
            }
        }
    }

    fn commit(self, socket: &Netlink) -> Result<(), Refused> {
        let mut messages = Vec::new();
        let mut number = 0;
        let mut push = |kind, flags, family: u8, resource: u16, attributes: &[u8]| {
            // struct nfgenmsg: family, version, resource.
            let mut body = vec![family, 0];
            body.extend(resource.to_be_bytes());
            body.extend(attributes);
            message(&mut messages, kind, flags, number, &body);
            number += 1;
            number - 1
        };
        push(BATCH_BEGIN, 0, UNSPECIFIED, SUBSYSTEM, &[]);
        let mut last = 0;
        for (index, (kind, flags, attributes)) in self.0.iter().enumerate() {
            // What fails is told of in any case. Of what does not, one answer says it for all: more would not fit into the
            // socket's buffer.
            let answer = if index + 1 == self.0.len() { ACK } else { 0 };
            last = push(*kind, flags | answer, INET, 0, attributes);
        }
        push(BATCH_END, 0, UNSPECIFIED, SUBSYSTEM, &[]);
        socket.send(&messages, last)?;
        Ok(())
    }
}

fn table() -> Vec<u8> {
    let mut attributes = Vec::new();
    text(&mut attributes, 1, TABLE);
    attributes
}

fn chain_attributes(chain: &Chain) -> Vec<u8> {
    let (kind, policy) = match chain.kind {
        ChainKind::Nat => ("nat", ACCEPT),
        ChainKind::Filter => ("filter", DROP),
    };
    let mut hook = Vec::new();
    number(&mut hook, 1, OUTPUT);
    number(&mut hook, 2, chain.priority.cast_unsigned());
    let mut attributes = Vec::new();
    text(&mut attributes, 1, TABLE);
    text(&mut attributes, 3, chain.kind.chain());
    nested(&mut attributes, 4, &hook);
    number(&mut attributes, 5, policy.cast_unsigned());
    text(&mut attributes, 7, kind);
    attributes
}

fn rule_attributes(chain: &Chain, rule: &Rule) -> Vec<u8> {
    let mut expressions = Vec::new();
    for test in &rule.tests {
        ask(&mut expressions, *test);
    }
    act(&mut expressions, rule.action);
    let mut attributes = Vec::new();
    text(&mut attributes, 1, TABLE);
    text(&mut attributes, 2, chain.kind.chain());
    nested(&mut attributes, 4, &expressions);
    attributes
}

fn ask(expressions: &mut Vec<u8>, test: Test) {
    match test {
        Test::User(user) => {
            meta(expressions, META_SKUID);
            equals(expressions, &user.to_ne_bytes());
        }
        Test::Tcp => protocol(expressions, TCP),
        Test::TcpPort(port) => to_port(expressions, TCP, port),
        Test::UdpPort(port) => to_port(expressions, UDP, port),
        Test::Destination(range) => destination(expressions, range),
    }
}

fn protocol(expressions: &mut Vec<u8>, protocol: u8) {
    meta(expressions, META_L4PROTO);
    equals(expressions, &[protocol]);
}

fn to_port(expressions: &mut Vec<u8>, of: u8, port: u16) {
    protocol(expressions, of);
    // Both TCP and UDP have the destination's port at 2.
    payload(expressions, TRANSPORT_HEADER, 2, 2);
    equals(expressions, &port.to_be_bytes());
}

fn destination(expressions: &mut Vec<u8>, range: IpNet) {
    let (family, offset, address, mask) = match range {
        IpNet::V4(range) => (
            IPV4,
            16,
            range.network().octets().to_vec(),
            range.netmask().octets().to_vec(),
        ),
        IpNet::V6(range) => (
            IPV6,
            24,
            range.network().octets().to_vec(),
            range.netmask().octets().to_vec(),
        ),
    };
    meta(expressions, META_NFPROTO);
    equals(expressions, &[family]);
    let length = u32::from(range.max_prefix_len() / 8);
    payload(expressions, NETWORK_HEADER, offset, length);
    if range.prefix_len() < range.max_prefix_len() {
        masked(expressions, length, &mask);
    }
    equals(expressions, &address);
}

fn act(expressions: &mut Vec<u8>, action: Action) {
    match action {
        Action::Return => verdict(expressions, RETURN),
        Action::Accept => verdict(expressions, ACCEPT),
        Action::Redirect(port) => {
            let mut value = Vec::new();
            number(&mut value, 1, REGISTER);
            data(&mut value, 2, &port.to_be_bytes());
            expression(expressions, "immediate", &value);
            let mut redirect = Vec::new();
            number(&mut redirect, 1, REGISTER);
            expression(expressions, "redir", &redirect);
        }
    }
}

fn verdict(expressions: &mut Vec<u8>, code: i32) {
    let (mut verdict, mut value, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
    number(&mut verdict, 1, code.cast_unsigned());
    nested(&mut value, 2, &verdict);
    number(&mut attributes, 1, VERDICT);
    nested(&mut attributes, 2, &value);
    expression(expressions, "immediate", &attributes);
}

/// Loads what is known of a packet beside its bytes.
fn meta(expressions: &mut Vec<u8>, key: u32) {
    let mut attributes = Vec::new();
    number(&mut attributes, 1, REGISTER);
    number(&mut attributes, 2, key);
    expression(expressions, "meta", &attributes);
}

/// Loads bytes of the packet.
fn payload(expressions: &mut Vec<u8>, header: u32, offset: u32, length: u32) {
    let mut attributes = Vec::new();
    number(&mut attributes, 1, REGISTER);
    number(&mut attributes, 2, header);
    number(&mut attributes, 3, offset);
    number(&mut attributes, 4, length);
    expression(expressions, "payload", &attributes);
}

/// Keeps the bits of `mask`.
fn masked(expressions: &mut Vec<u8>, length: u32, mask: &[u8]) {
    let mut attributes = Vec::new();
    number(&mut attributes, 1, REGISTER);
    number(&mut attributes, 2, REGISTER);
    number(&mut attributes, 3, length);
    data(&mut attributes, 4, mask);
    data(&mut attributes, 5, &vec![0; mask.len()]);
    expression(expressions, "bitwise", &attributes);
}

/// Goes on only where the register holds `value`.
fn equals(expressions: &mut Vec<u8>, value: &[u8]) {
    const EQUAL: u32 = 0;
    let mut attributes = Vec::new();
    number(&mut attributes, 1, REGISTER);
    number(&mut attributes, 2, EQUAL);
    data(&mut attributes, 3, value);
    expression(expressions, "cmp", &attributes);
}

fn expression(expressions: &mut Vec<u8>, name: &str, attributes: &[u8]) {
    let mut expression = Vec::new();
    text(&mut expression, 1, name);
    nested(&mut expression, 2, attributes);
    nested(expressions, 1, &expression);
}

fn data(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let mut inside = Vec::new();
    attribute(&mut inside, 1, value);
    nested(body, kind, &inside);
}

/// nf_tables takes its numbers in network order.
fn number(body: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(body, kind, &value.to_be_bytes());
}

fn text(body: &mut Vec<u8>, kind: u16, value: &str) {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    attribute(body, kind, &bytes);
}
