//! A compiled log query and the counts it keeps. A row is tested once; the counts of a facet are those of the rows that
//! all *other* conditions let pass, so that a window can show what choosing another value would give.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{
    Row,
    parse::{Key, Term, Test, parse},
};
use crate::{
    cluster::SESSION,
    dto::{Facet, FacetField, FacetValue, LogQuery, Verdict},
};

/// Most values of a facet that a window is sent; the counts behind it are complete.
const FACET_VALUES: usize = 200;

const FIELDS: [FacetField; 5] = [
    FacetField::Verdict,
    FacetField::Workload,
    FacetField::Host,
    FacetField::Status,
    FacetField::Flags,
];

/// A query with the rows it matched so far.
#[derive(Debug)]
pub struct Filter {
    pub query: LogQuery,
    terms: Vec<Term>,
    /// The first row that was not looked at yet.
    pub next: u64,
    /// Matching rows, by id.
    pub matched: VecDeque<u64>,
    counts: [HashMap<String, u64>; 5],
}

impl Filter {
    pub fn new(query: LogQuery) -> Self {
        Self {
            terms: parse(&query.text),
            query,
            next: 0,
            matched: VecDeque::new(),
            counts: Default::default(),
        }
    }

    /// Takes a new row into account.
    pub fn add(&mut self, row: &Row) {
        self.next = row.id + 1;
        if self.count(row, 1) {
            self.matched.push_back(row.id);
        }
    }

    /// Takes a row that is no longer kept out again.
    pub fn forget(&mut self, row: &Row) {
        if row.id < self.next {
            self.count(row, -1);
            if self.matched.front() == Some(&row.id) {
                self.matched.pop_front();
            }
        }
    }

    /// Adds to the counts; true when the row matches in all respects.
    fn count(&mut self, row: &Row, by: i64) -> bool {
        if !matches(&self.terms, row) {
            return false;
        }
        let values = FIELDS.map(|field| value(field, row));
        let fits = [
            self.query.verdicts.is_empty() || self.query.verdicts.contains(&row.record.verdict.into()),
            self.query.workloads.is_empty() || self.query.workloads.contains(&values[1]),
            self.query.hosts.is_empty() || self.query.hosts.contains(&values[2]),
            self.query.statuses.is_empty() || self.query.statuses.contains(&row.record.status),
            self.query.flags.is_empty() || self.query.flags.contains(&values[4]),
        ];
        for (index, value) in values.into_iter().enumerate() {
            let others = fits.iter().enumerate().all(|(other, fits)| *fits || other == index);
            if others {
                let counts = &mut self.counts[index];
                let count = counts.get(&value).copied().unwrap_or(0).saturating_add_signed(by);
                // Else each host that was ever seen would stay here.
                match count {
                    0 => drop(counts.remove(&value)),
                    count => drop(counts.insert(value, count)),
                }
            }
        }
        fits.iter().all(|fits| *fits)
    }

    /// The facets, most frequent value first.
    pub fn facets(&self) -> Vec<Facet> {
        FIELDS
            .iter()
            .zip(&self.counts)
            .map(|(field, counts)| {
                let mut values: Vec<FacetValue> = counts
                    .iter()
                    .map(|(value, count)| FacetValue {
                        value: value.clone(),
                        count: *count,
                    })
                    .collect();
                values.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
                values.truncate(FACET_VALUES);
                Facet { field: *field, values }
            })
            .collect()
    }
}

fn value(field: FacetField, row: &Row) -> String {
    match field {
        FacetField::Verdict => row.record.verdict.to_string(),
        FacetField::Workload => row.workload(),
        FacetField::Host => row.name(),
        FacetField::Status => row.record.status.to_string(),
        FacetField::Flags => row.record.flags.clone(),
    }
}

/// All keys must hold; of several terms with the same key, any.
fn matches(terms: &[Term], row: &Row) -> bool {
    let mut wanted: BTreeMap<u8, bool> = BTreeMap::new();
    for term in terms {
        match &term.test {
            Test::Field(key, value) => {
                let holds = field(*key, value, row);
                if term.negated {
                    if holds {
                        return false;
                    }
                } else {
                    *wanted.entry(*key as u8).or_default() |= holds;
                }
            }
            Test::Free(pattern) => {
                let record = &row.record;
                let fields = [
                    record.path.as_deref(),
                    record.cluster.as_deref(),
                    record.method.as_deref(),
                ];
                let holds = pattern.matches(&row.name())
                    || fields.into_iter().flatten().any(|text| pattern.matches(text))
                    || pattern.matches(&record.destination.to_string())
                    || pattern.matches(&row.workload())
                    || pattern.matches(&record.line);
                if holds == term.negated {
                    return false;
                }
            }
        }
    }
    wanted.values().all(|holds| *holds)
}

fn field(key: Key, wanted: &str, row: &Row) -> bool {
    let record = &row.record;
    let contains = |text: &str| text.to_lowercase().contains(wanted);
    let optional = |text: &Option<String>| text.as_deref().is_some_and(contains);
    match key {
        Key::Verdict => format!("{:?}", Verdict::from(record.verdict))
            .to_lowercase()
            .starts_with(wanted),
        Key::Workload => contains(&row.workload()),
        Key::Host => {
            let names = [Some(row.name()), record.host.clone(), record.sni.clone()];
            let mut names = names.into_iter().flatten().map(|name| name.to_lowercase());
            // As in a policy: any name below that one.
            match wanted.strip_prefix('*').filter(|end| end.starts_with('.')) {
                Some(end) => names.any(|name| name.split(':').next().is_some_and(|name| name.ends_with(end))),
                None => names.any(|name| name.contains(wanted)),
            }
        }
        Key::Destination => contains(&record.destination.to_string()),
        Key::Port => record.destination.port().to_string() == wanted,
        Key::Protocol => record.protocol.eq_ignore_ascii_case(wanted),
        Key::Method => record
            .method
            .as_deref()
            .is_some_and(|method| method.eq_ignore_ascii_case(wanted)),
        Key::Path => optional(&record.path),
        Key::Status => status(record.status, wanted),
        Key::Flags => record.flags.split(',').any(|flag| flag.eq_ignore_ascii_case(wanted)),
        Key::Cluster => optional(&record.cluster),
        Key::Route => optional(&record.route),
        Key::Policy => record.policy_hash.starts_with(wanted),
        // Of a sidecar that Egret deployed; Istio's in the same pod knows no policy by its hash.
        Key::Session => {
            let own = record.workload.labels.get(SESSION);
            own.is_some_and(|own| own == wanted) && !record.policy_hash.is_empty()
        }
    }
}

/// `504`, `5xx`, `>=400`, `<400`.
fn status(status: u16, wanted: &str) -> bool {
    let compare = |text: &str, test: fn(u16, u16) -> bool| text.parse().is_ok_and(|number| test(status, number));
    if let Some(number) = wanted.strip_prefix(">=") {
        compare(number, |a, b| a >= b)
    } else if let Some(number) = wanted.strip_prefix('<') {
        compare(number, |a, b| a < b)
    } else if let Some(class) = wanted.strip_suffix("xx") {
        class.parse() == Ok(status / 100)
    } else {
        compare(wanted, |a, b| a == b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests::flow;

    #[test]
    fn a_host_with_a_wildcard_is_any_name_below_as_in_a_policy() {
        let row = |host| Row {
            id: 0,
            record: flow(host, "192.0.2.1:80", "http"),
        };
        for (wanted, host, holds) in [
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "a.b.Example.com", true),
            ("*.example.com", "api.example.com:8080", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "api.example.com.evil.org", false),
            ("*.example.com", "notexample.com", false),
            ("example", "api.example.com", true),
        ] {
            assert_eq!(field(Key::Host, wanted, &row(host)), holds, "{wanted} {host}");
        }
    }

    #[test]
    fn a_value_of_which_no_row_is_kept_is_counted_no_more() {
        let mut filter = Filter::new(LogQuery::default());
        let rows = ["a.com", "b.com", "a.com"].map(|host| flow(host, "192.0.2.1:80", "http"));
        let rows: Vec<Row> = (0..).zip(rows).map(|(id, record)| Row { id, record }).collect();
        rows.iter().for_each(|row| filter.add(row));
        rows[1..].iter().for_each(|row| filter.forget(row));
        let hosts = &filter.counts[2];
        assert_eq!(hosts.iter().collect::<Vec<_>>(), [(&"a.com".to_string(), &1)]);
        filter.forget(&rows[0]);
        assert!(filter.counts.iter().all(HashMap::is_empty));
    }
}
