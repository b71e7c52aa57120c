//! Where a test request would meet what a change set changed.

use proxy_core::{
    model::{self, Protocol, ProtocolClass, ServiceEntry, VirtualService, World},
    yaml::{self, Node},
};

use super::write::FileEdit;

/// Most addresses that are offered for one change.
const MOST: usize = 3;

/// URLs of hosts whose objects the edits add, change or take away, each once.
pub fn tries(edits: &[FileEdit]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for edit in edits {
        let changed = changed(edit);
        let of_entries = changed
            .service_entries
            .iter()
            .flat_map(|entry| of_service_entry(&entry.spec));
        let of_services = changed
            .virtual_services
            .iter()
            .flat_map(|service| of_virtual_service(&service.spec));
        for url in of_entries.chain(of_services) {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        if urls.len() >= MOST {
            break;
        }
    }
    urls.truncate(MOST);
    urls
}

/// The objects that only one side of the edit says.
fn changed(edit: &FileEdit) -> World {
    let read = |text: &Option<Vec<u8>>| yaml::read(text.as_deref().unwrap_or_default());
    // Beside a side that cannot be read everything would seem changed.
    let (Ok(before), Ok(after)) = (read(&edit.before), read(&edit.after)) else {
        return World::default();
    };
    let only = |one: &[Node], other: &[Node]| {
        let other: Vec<_> = other.iter().map(Node::to_json).collect();
        let own = one.iter().filter(|node| !other.contains(&node.to_json()));
        own.cloned().collect::<Vec<_>>()
    };
    let mut world = World::default();
    for document in only(&after, &before).iter().chain(&only(&before, &after)) {
        model::add_document(document, &"change".into(), &mut 0, &mut world, &mut Vec::new());
    }
    world
}

fn of_service_entry(entry: &ServiceEntry) -> Vec<String> {
    let mut urls = Vec::new();
    for host in entry.hosts.iter().filter(|host| !host.contains('*')) {
        urls.extend(
            entry
                .ports
                .iter()
                .filter_map(|port| url(host, port.number, port.protocol)),
        );
    }
    urls
}

/// A VirtualService names no port of its own: its routes count on the usual ones.
fn of_virtual_service(service: &VirtualService) -> Vec<String> {
    let (protocol, port) = match (service.http.is_empty(), service.tls.is_empty()) {
        (false, _) => (Protocol::Http, 80),
        (true, false) => (Protocol::Tls, 443),
        (true, true) => return Vec::new(),
    };
    let hosts = service.hosts.iter().filter(|host| !host.contains('*'));
    hosts.filter_map(|host| url(host, port, protocol)).collect()
}

fn url(host: &str, port: u16, protocol: Protocol) -> Option<String> {
    let (scheme, usual) = match protocol.class() {
        ProtocolClass::Http => ("http", 80),
        ProtocolClass::Tls => ("https", 443),
        ProtocolClass::Tcp | ProtocolClass::Auto => ("tcp", 0),
        ProtocolClass::None => return None,
    };
    Some(if port == usual {
        format!("{scheme}://{host}/")
    } else {
        format!("{scheme}://{host}:{port}/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, host: &str, ports: &str) -> String {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: \
             [{host}, '*.w.com'], ports: [{ports}]}}\n"
        )
    }

    fn edit(before: &str, after: &str) -> FileEdit {
        FileEdit {
            file: "f.yaml".into(),
            before: Some(before.into()),
            after: Some(after.into()),
        }
    }

    #[test]
    fn what_an_edit_adds_changes_or_takes_away_can_be_tried_and_what_it_leaves_is_not_offered() {
        let https = "{number: 443, name: tls, protocol: TLS}, {number: 8080, name: http, protocol: HTTP}";
        let tcp = "{number: 22, name: tcp, protocol: TCP}";
        let stays = entry("a", "a.com", https);
        let timeout = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: \
                       [v.com], http: [{timeout: 3s, route: [{destination: {host: v.com}}]}]}\n";
        let cases = [
            (
                String::new(),
                entry("b", "b.com", https),
                vec!["https://b.com/", "http://b.com:8080/"],
            ),
            (entry("b", "b.com", tcp), String::new(), vec!["tcp://b.com:22/"]),
            (
                entry("b", "b.com", tcp),
                entry("b", "b.com", https),
                vec!["https://b.com/", "http://b.com:8080/", "tcp://b.com:22/"],
            ),
            (String::new(), timeout.to_string(), vec!["http://v.com/"]),
            (String::new(), "broken: [".to_string(), vec![]),
        ];
        for (before, after, wanted) in cases {
            let edit = edit(&format!("{stays}{before}"), &format!("{stays}{after}"));
            assert_eq!(tries(&[edit]), wanted, "{after}");
        }
    }

    #[test]
    fn a_host_that_several_objects_name_is_offered_once() {
        let http = "{number: 80, name: http, protocol: HTTP}";
        let timeout = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: \
                       [a.com], http: [{timeout: 3s, route: [{destination: {host: a.com}}]}]}\n";
        let edits = [
            edit("", &entry("a", "a.com", http)),
            edit("", &entry("b", "b.com", http)),
            edit("", timeout),
        ];
        assert_eq!(tries(&edits), ["http://a.com/", "http://b.com/"]);
    }
}
