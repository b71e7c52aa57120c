//! Where a redirect leads. Source: Envoy's `RouteEntryImplBase::newUri`.

use std::borrow::Cow;

use crate::model::Redirect;

/// Where a redirect points, for a request with this scheme and authority.
pub(crate) fn location(redirect: &Redirect, scheme: &str, authority: &str, path_and_query: &str) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let host = redirect.authority.as_deref().unwrap_or(authority);
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    // The query is kept; the path is replaced whole, or the matched prefix of it.
    let path = match &redirect.uri {
        Some(uri) => format!("{uri}{}", split(path_and_query).1),
        None => rewritten(redirect, path_and_query).into_owned(),
    };
    format!("{scheme}://{host}{port}{path}")
}

/// The path that a redirect's edits see: Envoy puts the prefix in, and nothing else, before it answers.
pub(crate) fn rewritten<'p>(redirect: &Redirect, path_and_query: &'p str) -> Cow<'p, str> {
    let prefix = redirect.prefix_rewrite.as_ref().filter(|_| redirect.uri.is_none());
    let Some(prefix) = prefix else {
        return path_and_query.into();
    };
    let (path, query) = split(path_and_query);
    let rest = path.get(redirect.matched.len()..).unwrap_or_default();
    format!("{prefix}{rest}{query}").into()
}

fn split(path_and_query: &str) -> (&str, &str) {
    path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()))
}
