use super::*;

const BOOT: &str = "f3c2";

fn node(provider: &str, boot_id: &str) -> Node {
    Node {
        provider: provider.into(),
        runtime: "containerd://2.1.4".into(),
        boot_id: boot_id.into(),
        architecture: "amd64".into(),
        ..Node::default()
    }
}

fn command(nodes: &[Node], context: &str) -> String {
    Ways::from(nodes, context, BOOT).command()
}

#[test]
fn each_distribution_has_its_own_way() {
    let minikube = Node {
        labels: [("minikube.k8s.io/name".to_string(), "shop".to_string())].into(),
        ..node("", BOOT)
    };
    for (nodes, way) in [
        (
            vec![node("kind://docker/dev/dev-worker", BOOT)],
            "&& kind load image-archive egret-proxy.tar --name dev",
        ),
        (
            vec![node("kind://podman/dev/dev-worker", BOOT)],
            "&& KIND_EXPERIMENTAL_PROVIDER=podman kind load image-archive egret-proxy.tar --name dev",
        ),
        (vec![minikube], "&& minikube image load egret-proxy.tar --profile shop"),
        (
            vec![node("k3s://k3d-shop-server-0", BOOT)],
            "&& k3d image import egret-proxy.tar --cluster shop --mode direct",
        ),
        (
            vec![node("k3s://k3d-my-shop-agent-1", BOOT)],
            "&& k3d image import egret-proxy.tar --cluster my-shop --mode direct",
        ),
        (
            vec![node("k3s://box", BOOT)],
            "&& sudo k3s ctr images import egret-proxy.tar",
        ),
        (
            vec![node("k3s://box", "another")],
            "&& sudo k3s ctr images import egret-proxy.tar   # on each node",
        ),
        (
            vec![node("", BOOT), node("", "another")],
            "&& sudo ctr --namespace k8s.io images import egret-proxy.tar",
        ),
        (
            vec![node("", "another")],
            "&& sudo ctr --namespace k8s.io images import egret-proxy.tar   # on each node",
        ),
    ] {
        let command = command(&nodes, "any");
        assert!(command.ends_with(way), "{command}");
    }
    let cloud = command(&[node("aws:///a", "1"), node("aws:///b", "2")], "any");
    assert!(cloud.starts_with("egret-proxy image --push REGISTRY/"), "{cloud}");
}

#[test]
fn the_contexts_name_tells_where_nodes_may_not_be_listed() {
    for (context, way) in [
        ("kind-dev", "kind load image-archive egret-proxy.tar --name dev"),
        (
            "k3d-shop",
            "k3d image import egret-proxy.tar --cluster shop --mode direct",
        ),
        ("minikube", "minikube image load egret-proxy.tar --profile minikube"),
        ("production", "egret-proxy image --push"),
    ] {
        let command = command(&[], context);
        assert!(command.contains(way), "{command}");
    }
}

#[test]
fn a_name_that_no_tool_gives_is_no_argument() {
    for provider in [
        "kind://docker/--name=x/n",
        "kind://docker/a b/n",
        "k3s://k3d-$(id)-server-0",
        "kind://-x/a/n",
    ] {
        let ways = Ways::from(&[node(provider, BOOT)], "any", BOOT);
        assert_eq!(ways.tool, None, "{provider}");
    }
}

#[test]
fn a_way_is_gone_only_where_the_nodes_are_of_that_kind() {
    let ways = Ways::from(&[node("kind://docker/dev/dev-worker", BOOT)], "any", BOOT);
    assert_eq!(ways.chosen(DeliveryWay::K3d, "a.tar").unwrap_err().code, "input");
    let tool = ways.tool.unwrap();
    assert_eq!(
        tool.arguments("/tmp/x y/a.tar"),
        ["load", "image-archive", "/tmp/x y/a.tar", "--name", "dev"]
    );
    assert_eq!(
        tool.lacks(OsStr::new("/nowhere")).unwrap(),
        "kind is not installed on this computer, or not in PATH."
    );
    assert_eq!(tool.listing(), None);
    let minikube = Tool::Minikube { profile: "shop".into() };
    assert_eq!(minikube.listing().unwrap(), ["image", "ls", "--profile", "shop"]);
    let away = Tool::Containerd { here: false };
    assert!(
        away.lacks(OsStr::new("/nowhere"))
            .unwrap()
            .starts_with("No node is this computer")
    );
}
