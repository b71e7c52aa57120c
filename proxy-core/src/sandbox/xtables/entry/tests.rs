use super::*;
use crate::sandbox::{PodDns, Redirect};
use crate::{policy::Capture, sandbox::Plan};

/// The entries of the rules of a plan with a user, DNS servers of both families and nothing else.
fn entries(family: Family) -> Vec<Vec<u8>> {
    let redirect = Redirect::Pod {
        outbound: 15901,
        users: vec![1339],
        dns: Some(PodDns {
            port: 15953,
            servers: vec!["10.96.0.10".parse().unwrap(), "fd00:96::a".parse().unwrap()],
        }),
    };
    let plan = Plan::of(&Capture::read([Some("10.1.0.0/16"), None, None, Some("22")]), &redirect);
    plan.chains[0]
        .rules
        .iter()
        .filter_map(|rule| of(family, rule))
        .collect()
}

/// Parts, one behind another.
fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The head of a match or target.
fn called(size: u16, name: &str, revision: u8) -> Vec<u8> {
    let mut called = numbers(&[size]);
    called.extend(name.bytes());
    called.resize(2 + 29, 0);
    called.push(revision);
    called
}

#[test]
fn an_ipv4_rule_with_address_protocol_and_port_is_what_the_headers_of_the_kernel_say() {
    let expected = join(&[
        // ipt_ip: src, dst, smsk, dmsk, interfaces and their masks, proto, flags and invflags.
        &[0; 4],
        &[10, 96, 0, 10],
        &[0; 4],
        &[255; 4],
        &[0; 64],
        &numbers(&[17, 0]),
        // nfcache, target_offset, next_offset, comefrom, counters.
        &[0; 4],
        &numbers(&[112 + 48, 112 + 48 + 56]),
        &[0; 4 + 16],
        // xt_udp: spts, dpts, invflags.
        &called(48, "udp", 0),
        &numbers(&[0, 65535, 53, 53]),
        &[0; 8],
        // nf_nat_ipv4_multi_range_compat: rangesize, flags, min_ip, max_ip, min and max in network order.
        &called(56, "REDIRECT", 0),
        &words(&[1, 2, 0, 0]),
        &[0x3e, 0x51, 0x3e, 0x51],
        &[0; 4],
    ]);
    assert_eq!(entries(Family::V4)[1], expected);
}

#[test]
fn an_ipv6_rule_with_address_protocol_and_port_is_what_the_headers_of_the_kernel_say() {
    let expected = join(&[
        // ip6t_ip6: src, dst, smsk, dmsk, interfaces and their masks, proto, tos, flags, invflags.
        &[0; 16],
        &[0xfd, 0, 0, 0x96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a],
        &[0; 16],
        &[255; 16],
        &[0; 64],
        &numbers(&[6]),
        &[0, 1, 0],
        &[0; 3],
        // nfcache, target_offset, next_offset, comefrom, counters.
        &[0; 4],
        &numbers(&[168 + 48, 168 + 48 + 72]),
        &[0; 8 + 16],
        // xt_tcp: spts, dpts, option, flg_mask, flg_cmp, invflags.
        &called(48, "tcp", 0),
        &numbers(&[0, 65535, 53, 53]),
        &[0; 8],
        // nf_nat_range: flags, min_addr, max_addr, min_proto and max_proto in network order.
        &called(72, "REDIRECT", 0),
        &words(&[2]),
        &[0; 32],
        &[0x3e, 0x51, 0x3e, 0x51],
    ]);
    assert_eq!(entries(Family::V6)[2], expected);
}

#[test]
fn a_rule_for_a_user_asks_the_owner_match_and_returns() {
    for (family, size) in [(Family::V4, 112), (Family::V6, 168)] {
        let own = &entries(family)[0];
        let expected = join(&[
            // xt_owner_match_info: uid_min, uid_max, gid_min, gid_max, match, invert.
            &called(56, "owner", 1),
            &words(&[1339, 1339, 0, 0]),
            &[1, 0],
            &[0; 2 + 4],
            // xt_standard_target
            &called(40, "", 0),
            &(-5i32).to_ne_bytes(),
            &[0; 4],
        ]);
        assert_eq!(own[size..], expected, "{family}");
    }
}

#[test]
fn a_range_is_in_the_table_of_its_own_addresses_alone() {
    // Both: the user, DNS over UDP and TCP, loopback, the port, everything else. IPv4: the range; IPv6: link-local addresses.
    assert_eq!((entries(Family::V4).len(), entries(Family::V6).len()), (7, 7));
    let ranges = entries(Family::V4);
    assert!(
        ranges
            .iter()
            .any(|entry| entry[4..8] == [10, 1, 0, 0] && entry[12..16] == [255, 255, 0, 0])
    );
}
