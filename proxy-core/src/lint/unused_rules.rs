//! Rules and matches of a VirtualService that earlier ones leave nothing for (IST0130, IST0131). As Istio's validation
//! finds them (`analyzeUnreachableHTTPRules`).

use super::finding::{Report, pointer};
use crate::model::{HttpMatch, HttpRoute, L4Match, L4Route, TextMatch, VirtualService};

pub(super) fn check(report: &mut Report<'_>, spec: &VirtualService) {
    let http: Vec<_> = spec.http.iter().map(rule).collect();
    repeated(report, "http", &http);
    overlapping(report, &spec.http);
    for (list, routes) in [("tls", &spec.tls), ("tcp", &spec.tcp)] {
        let rules: Vec<_> = routes
            .iter()
            .map(|route: &L4Route| (route.line, route.matches.clone()))
            .collect();
        repeated::<L4Match>(report, list, &rules);
    }
}

/// The conditions of a route, without the names that only logs show.
fn rule(route: &HttpRoute) -> (u32, Vec<HttpMatch>) {
    let nameless = |condition: &HttpMatch| HttpMatch {
        name: None,
        ..condition.clone()
    };
    (route.line, route.matches.iter().map(nameless).collect())
}

fn repeated<M: PartialEq>(report: &mut Report<'_>, list: &str, rules: &[(u32, Vec<M>)]) {
    let mut seen: Vec<(usize, &M)> = Vec::new();
    let mut catches_all = false;
    for (index, (line, matches)) in rules.iter().enumerate() {
        let field = format!("spec.{list}[{index}]");
        if matches.is_empty() {
            if catches_all {
                unreachable(
                    report,
                    &field,
                    *line,
                    "an earlier rule without matches takes everything",
                );
            }
            catches_all = true;
            continue;
        }
        let mut duplicates = 0;
        for (position, condition) in matches.iter().enumerate() {
            if catches_all {
                unreachable(
                    report,
                    &field,
                    *line,
                    "an earlier rule without matches takes everything",
                );
            } else if let Some((earlier, _)) = seen.iter().find(|(_, known)| *known == condition) {
                duplicates += 1;
                ineffective(report, format!("{field}.match[{position}]"), *line, list, *earlier);
            } else {
                seen.push((index, condition));
            }
        }
        if duplicates == matches.len() {
            unreachable(report, &field, *line, "earlier rules have all of its matches");
        }
    }
}

fn unreachable(report: &mut Report<'_>, field: &str, line: u32, why: &str) {
    report.analyzed(
        "IST0130",
        field,
        format!("this rule is never used: {why}"),
        Some("take it away, or put it before the rule that hides it".into()),
    );
    report.at(line);
    report.patch("remove", pointer(field), None);
}

fn ineffective(report: &mut Report<'_>, field: String, line: u32, list: &str, earlier: usize) {
    let path = pointer(&field);
    report.analyzed(
        "IST0131",
        field,
        format!("this match is never used: spec.{list}[{earlier}] takes its requests"),
        Some("take it away, or put it before the rule that hides it".into()),
    );
    report.at(line);
    report.patch("remove", path, None);
}

/// A match by prefix, as Istio compares them.
struct Prefixed<'r> {
    route: usize,
    position: usize,
    line: u32,
    prefix: &'r str,
    condition: &'r HttpMatch,
}

/// A longer prefix behind a shorter one that takes its requests.
fn overlapping(report: &mut Report<'_>, routes: &[HttpRoute]) {
    let mut all: Vec<Prefixed<'_>> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        // Istio looks at no match behind a rule that has none.
        if routes[..index].iter().any(|earlier| earlier.matches.is_empty()) {
            break;
        }
        for (position, condition) in route.matches.iter().enumerate() {
            let Some(TextMatch::Prefix(prefix)) = &condition.uri else {
                continue;
            };
            let known = |one: &Prefixed<'_>| same(one.condition, condition);
            if !prefix.is_empty() && !all.iter().any(known) {
                all.push(Prefixed {
                    route: index,
                    position,
                    line: route.line,
                    prefix,
                    condition,
                });
            }
        }
    }
    for (index, wide) in all.iter().enumerate() {
        for narrow in &all[index + 1..] {
            let is_longer = narrow.prefix != wide.prefix && narrow.prefix.starts_with(wide.prefix);
            if is_longer && covers(wide.condition, narrow.condition) {
                let field = format!("spec.http[{}].match[{}]", narrow.route, narrow.position);
                ineffective(report, field, narrow.line, "http", wide.route);
            }
        }
    }
}

fn same(a: &HttpMatch, b: &HttpMatch) -> bool {
    let nameless = |condition: &HttpMatch| HttpMatch {
        name: None,
        ..condition.clone()
    };
    nameless(a) == nameless(b)
}

/// Istio's `coveredValidation`, but for the prefix.
fn covers(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    let texts = |a: &str, b: &str| a.starts_with(b);
    let method = |condition: &HttpMatch| match text(condition.method.as_ref()) {
        none if none.is_empty() => "exact:GET".to_string(),
        written => written,
    };
    let maps = [
        (&wide.headers, &narrow.headers),
        (&wide.query_params, &narrow.query_params),
        (&wide.without_headers, &narrow.without_headers),
    ];
    wide.port == narrow.port
        && texts(&method(wide), &method(narrow))
        && texts(&text(wide.authority.as_ref()), &text(narrow.authority.as_ref()))
        && maps.into_iter().all(|(wide, narrow)| {
            wide.len() == narrow.len()
                && wide.iter().all(|(key, value)| {
                    let other = narrow.get(key);
                    other.is_some_and(|other| texts(&text(Some(value)), &text(Some(other))))
                })
        })
}

/// A condition as Istio writes it down to compare it: expressions count as nothing.
fn text(condition: Option<&TextMatch>) -> String {
    match condition {
        Some(TextMatch::Exact(exact)) if !exact.is_empty() => format!("exact:{exact}"),
        Some(TextMatch::Prefix(prefix)) if !prefix.is_empty() => format!("prefix:{prefix}"),
        _ => String::new(),
    }
}
