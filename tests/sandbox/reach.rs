//! Names and addresses of a cluster from inside a sandbox, through a forwarder.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    thread,
};

use crate::trial::{Trial, said};

/// A forwarder that knows one Service, `cart` at 10.96.0.7, and leads port 80 of it to `site`.
fn forwarder(site: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, site));
        }
    });
    address
}

fn answer(mut stream: TcpStream, site: SocketAddr) {
    let mut question = String::new();
    BufReader::new(&stream).read_line(&mut question).unwrap();
    let answer = match question.trim_end() {
        "key resolve cart shop" => "ok 10.96.0.7\n",
        "key connect 10.96.0.7:80" => "ok\n",
        "key connect 10.96.0.7:81" => "error Service shop/cart has no port 81.\n",
        _ => "none\n",
    };
    stream.write_all(answer.as_bytes()).unwrap();
    if question.contains(":80") {
        let upstream = TcpStream::connect(site).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &upstream, &mut stream);
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn a_service_of_a_cluster_is_reached_by_its_name_and_what_keeps_it_away_is_said() {
    let Some(trial) = Trial::new("a_service_of_a_cluster", "ALLOW_ANY") else {
        return;
    };
    let way = format!("{} key", forwarder(trial.site.address));
    let run = |argv: &[&str]| {
        let output = trial
            .command_as(&["--namespace", "shop"], argv)
            .env("EGRET_FORWARDER", &way)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (said(&output), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&["curl", "-s", "http://cart/"]).0, "hi");
    assert!(trial.lines("access.log").last().unwrap().contains("10.96.0.7:80"));
    let (_, why) = run(&["curl", "-s", "http://cart:81/"]);
    assert!(why.contains("Service shop/cart has no port 81."), "{why}");
    // What is not the cluster's goes its own way.
    assert_eq!(run(&["curl", "-s", "http://httpbin.org/"]).0, "hi");
    let (variables, _) = run(&["env"]);
    assert!(
        !variables.contains("EGRET_FORWARDER"),
        "the command goes through the sidecar"
    );
}

#[test]
fn hosts_that_dns_capture_gives_addresses_are_told_apart_on_one_port() {
    let Some(trial) = Trial::new("hosts_that_dns_capture", "REGISTRY_ONLY") else {
        return;
    };
    trial.write(
        "mesh.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
         outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n    defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}\n",
    );
    for (name, address) in [("one", "240.240.0.1"), ("two", "240.240.0.2")] {
        trial.write(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  \
                 hosts: [{name}.test]\n  ports: [{{number: 9000, name: tcp, protocol: TCP}}]\n  resolution: STATIC\n  endpoints: \
                 [{{address: 198.18.0.60}}]\nstatus: {{addresses: [{{value: {address}, host: {name}.test}}]}}\n"
            ),
        );
    }
    let map = format!("198.18.0.60:9000={}", trial.site.address);
    for (at, (name, address)) in [("one", "240.240.0.1"), ("two", "240.240.0.2")].into_iter().enumerate() {
        let url = format!("http://{name}.test:9000/");
        let output = trial
            .command_as(
                &["--labels", "app=sleep", "--map", &map],
                &["curl", "-s", "-m", "10", &url],
            )
            .output()
            .unwrap();
        assert_eq!(said(&output), "hi", "{output:?}");
        let line = trial.lines("access.log").remove(at);
        assert!(
            line.contains(&format!("outbound|9000||{name}.test")) && line.contains(&format!(" {address}:9000 ")),
            "{line}"
        );
    }
}
