use super::*;

const NAT_HOOKS: u32 = 0b11011;
const CHAIN: &str = "EGRET_OUTPUT";

/// `struct ipt_getinfo` and the entries of a table.
type Raw = (Vec<u8>, Vec<u8>);

/// The nat table with a user's chain, which OUTPUT jumps to.
fn of_others(family: Family) -> Raw {
    let accept = || entry::standard(family, entry::ACCEPT);
    let policy = accept().len();
    let head = entry::head(family, "OTHER");
    // Before routing, in, the jump, out, after routing.
    let jump = entry::standard(family, i32::try_from(5 * policy + head.len()).unwrap());
    let mut counted = accept();
    let at = family.layout().counters;
    counted[at..at + COUNTERS].fill(7);
    let entries = [
        accept(),
        accept(),
        jump,
        accept(),
        accept(),
        head,
        counted,
        entry::standard(family, RETURN),
        entry::head(family, ERROR),
    ]
    .concat();
    let places = [0, 1, 0, 2, 4, 0, 1, 0, 3, 4].map(|place| place * policy);
    let mut info = field::<NAME>("nat").to_vec();
    info.extend(NAT_HOOKS.to_ne_bytes());
    info.extend(places.iter().flat_map(|place| number(*place).unwrap()));
    info.extend(number(9).unwrap());
    info.extend(number(entries.len()).unwrap());
    (info, entries)
}

fn parse(family: Family, (info, entries): &Raw) -> io::Result<Table> {
    Table::parse(family, "nat", info, entries)
}

/// As the kernel tells a table that was written so.
fn told(table: &Table) -> Raw {
    let (header, entries) = table.encode().unwrap();
    let sizes = NAME + 4..NAME + 12;
    let info = [&header[..sizes.start], &header[sizes.end..], &header[sizes]].concat();
    (info, entries)
}

#[test]
fn a_table_is_written_as_it_was_read() {
    for family in Family::ALL {
        let raw = of_others(family);
        assert!(told(&parse(family, &raw).unwrap()) == raw, "{family}");
    }
}

#[test]
fn a_chain_is_jumped_to_first_and_leaves_nothing_when_it_goes() {
    for family in Family::ALL {
        let raw = of_others(family);
        let before = parse(family, &raw).unwrap();
        let mut table = before.clone();
        let rule = entry::standard(family, entry::DROP);
        table.add_chain(CHAIN, vec![rule.clone(), rule.clone()]);
        let (info, entries) = told(&table);
        let output = size_at(&info, NAME + 4 + 4 * OUTPUT).unwrap();
        let verdict = output + table.entries[0].target(family).unwrap() + HEADER;
        let to = size_at(&entries, verdict).unwrap();
        let head = entry::head(family, CHAIN);
        assert_eq!(entries[to - head.len()..to], head, "{family}");
        assert!(entries[to..].starts_with(&rule), "{family}");
        // Read again, with the jump of others where it leads now.
        let mut again = parse(family, &(info, entries)).unwrap();
        assert!(again == table, "{family}");
        again.remove_chain(CHAIN);
        assert!(told(&again) == raw, "{family}");
        again.remove_chain(CHAIN);
        assert!(told(&again) == raw, "{family}");
    }
}

#[test]
fn a_chain_goes_alone_from_between_those_of_others() {
    for family in Family::ALL {
        let mut table = parse(family, &of_others(family)).unwrap();
        let rule = entry::standard(family, entry::DROP);
        table.add_chain(CHAIN, vec![rule.clone()]);
        let mut expected = parse(family, &of_others(family)).unwrap();
        for table in [&mut table, &mut expected] {
            table.add_chain("LATER", vec![rule.clone(), rule.clone()]);
        }
        table.remove_chain(CHAIN);
        assert!(told(&table) == told(&expected), "{family}");
    }
}

#[test]
fn bytes_that_are_no_table_are_refused_or_read_but_end_nothing() {
    for family in Family::ALL {
        let (info, entries) = of_others(family);
        for length in 0..entries.len() {
            assert!(
                parse(family, &(info.clone(), entries[..length].to_vec())).is_err(),
                "{family}: {length}"
            );
        }
        for length in 0..NAME + 4 + 2 * 4 * HOOKS {
            assert!(
                parse(family, &(info[..length].to_vec(), entries.clone())).is_err(),
                "{family}: {length}"
            );
        }
        for place in 0..entries.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut broken = entries.clone();
                broken[place] = byte;
                if let Ok(mut table) = parse(family, &(info.clone(), broken)) {
                    table.remove_chain("OTHER");
                    table.add_chain(CHAIN, Vec::new());
                    table.encode().unwrap();
                }
            }
        }
    }
}
