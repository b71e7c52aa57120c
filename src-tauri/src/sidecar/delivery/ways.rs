//! The ways for an image to the nodes of a cluster, by what the nodes say of themselves, and the commands that go them.
//! Sources: `kind load image-archive --help`, `minikube image load --help`, k3d.io's page "k3d image import", `ctr images
//! import --help`; `make kind-test` has kind and k3d themselves go theirs.

use std::{env, ffi::OsStr, fs, os::unix::net::UnixStream, path::PathBuf};

use super::{programs, search_path, tool};
use crate::{
    cluster::{Node, Nodes, shell_word},
    dto::{DeliveryChoice, DeliveryWay},
    fault::{Fault, Result},
};

/// What the image is written to, where a person does it.
const ARCHIVE: &str = "egret-proxy.tar";
/// Linux gives it anew with each start: nodes with the same one share a kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const CONTAINERD: &str = "/run/containerd/containerd.sock";
const K3S: &str = "/run/k3s/containerd/containerd.sock";

/// A distribution's own way for an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tool {
    Kind {
        cluster: String,
        /// `docker`, `podman` or `nerdctl`: what the nodes run in.
        provider: String,
    },
    Minikube {
        profile: String,
    },
    K3d {
        cluster: String,
    },
    /// The containerd of a node that is this computer, or, where it is not, of each node.
    K3s {
        here: bool,
    },
    Containerd {
        here: bool,
    },
}

/// The ways into the cluster that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    tool: Option<Tool>,
    /// Of the nodes, such as `amd64`.
    architectures: Vec<String>,
    count: usize,
}

/// A way that can be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    /// Has the program list the images of the nodes, where its end does not tell whether they took this one.
    pub listing: Option<Vec<String>>,
}

impl Ways {
    /// Those that the nodes and the context's name allow. `None` where nodes may not be listed.
    pub fn into(nodes: Option<&Nodes>, context: &str) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let seen = nodes.map_or(&[][..], |nodes| &nodes.seen);
        Self::from(seen, context, boot.trim())
    }

    fn from(nodes: &[Node], context: &str, boot: &str) -> Self {
        let mut architectures: Vec<String> = nodes.iter().map(|node| node.architecture.clone()).collect();
        architectures.retain(|architecture| !architecture.is_empty());
        architectures.sort_unstable();
        architectures.dedup();
        Self {
            tool: of_nodes(nodes, boot)
                .or_else(|| of_context(context))
                .filter(Tool::is_plain),
            architectures,
            count: nodes.len(),
        }
    }

    /// All of them, with what stands against each on this computer.
    pub fn choices(&self) -> Vec<DeliveryChoice> {
        let path = search_path();
        let image = self.lacks_image();
        let tool = self.tool.as_ref().map(|tool| DeliveryChoice {
            way: tool.way(),
            title: tool.title(),
            text: tool.text(self.count),
            command: tool.command_line(),
            refused: image.clone().or_else(|| tool.lacks(&path)),
        });
        let registry = DeliveryChoice {
            way: DeliveryWay::Registry,
            title: "Registry".into(),
            text: "Pushed with the credentials of docker login or podman login; each node fetches it when a pod needs it, with \
                   the workload's own pull secrets."
                .into(),
            command: "egret-proxy image --push REGISTRY/REPOSITORY:TAG".into(),
            refused: image,
        };
        tool.into_iter().chain([registry]).collect()
    }

    /// The command for a person to copy.
    pub fn command(&self) -> String {
        match &self.tool {
            Some(tool) => format!("egret-proxy image --output {ARCHIVE} && {}", tool.command_line()),
            None => "egret-proxy image --push REGISTRY/REPOSITORY:TAG   # then name that as the image".into(),
        }
    }

    /// The tool's way for the archive `archive`, if it is `way`, and can be gone here.
    pub(super) fn chosen(&self, way: DeliveryWay, archive: &str) -> Result<Chosen> {
        let tool = self.tool.as_ref().filter(|tool| tool.way() == way);
        let tool = tool.ok_or_else(|| Fault::input("The nodes of this cluster are not of that kind."))?;
        let path = search_path();
        match self.lacks_image().or_else(|| tool.lacks(&path)) {
            Some(refused) => Err(Fault::new("refused", refused)),
            None => Ok(Chosen {
                program: tool::find(tool.program(), &path).unwrap_or_else(|| tool.program().into()),
                arguments: tool.arguments(archive),
                variables: tool.variables(),
                listing: tool.listing(),
            }),
        }
    }

    /// Why there is no image for these nodes.
    fn lacks_image(&self) -> Option<String> {
        let found = match programs::found() {
            Ok(found) => found,
            Err(fault) => return Some(fault.told()),
        };
        let has = |wanted: &String| {
            found
                .iter()
                .any(|(architecture, _)| architecture.to_string() == *wanted)
        };
        let all = &self.architectures;
        (!all.is_empty() && !all.iter().any(has)).then(|| {
            format!(
                "The nodes are {}, and there is no static egret-proxy for that here: put one beside this program, as \
                     egret-proxy-{}.",
                all.join(" and "),
                all[0]
            )
        })
    }
}

fn of_nodes(nodes: &[Node], boot: &str) -> Option<Tool> {
    let node = nodes.first()?;
    // A node of kind or k3d is a container, with the kernel of the computer that it runs on.
    let here = nodes.iter().any(|node| !boot.is_empty() && node.boot_id == boot);
    let k3d = |name: &str| {
        let end = name.rfind("-server-").or(name.rfind("-agent-"))?;
        Some(name[..end].to_string())
    };
    if let Some(rest) = node.provider.strip_prefix("kind://") {
        let (provider, rest) = rest.split_once('/')?;
        let (cluster, _) = rest.split_once('/')?;
        let (cluster, provider) = (cluster.into(), provider.into());
        return Some(Tool::Kind { cluster, provider });
    }
    if let Some(profile) = node.labels.get("minikube.k8s.io/name") {
        let profile = profile.clone();
        return Some(Tool::Minikube { profile });
    }
    if let Some(cluster) = node.provider.strip_prefix("k3s://k3d-").and_then(k3d) {
        return Some(Tool::K3d { cluster });
    }
    if node.provider.starts_with("k3s://") {
        return Some(Tool::K3s { here });
    }
    let own = node.runtime.starts_with("containerd://") && (here || nodes.len() == 1);
    own.then_some(Tool::Containerd { here })
}

/// What a context is called that a tool made.
fn of_context(context: &str) -> Option<Tool> {
    if let Some(cluster) = context.strip_prefix("kind-") {
        let (cluster, provider) = (cluster.into(), "docker".into());
        return Some(Tool::Kind { cluster, provider });
    }
    if let Some(cluster) = context.strip_prefix("k3d-") {
        let cluster = cluster.into();
        return Some(Tool::K3d { cluster });
    }
    (context == "minikube").then(|| Tool::Minikube {
        profile: context.into(),
    })
}

impl Tool {
    /// Names come from the cluster: one that is no plain word names nothing that a tool made.
    fn is_plain(&self) -> bool {
        let plain = |name: &String| {
            let letters = name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
            letters && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        };
        match self {
            Self::Kind { cluster, provider } => plain(cluster) && plain(provider),
            Self::Minikube { profile } => plain(profile),
            Self::K3d { cluster } => plain(cluster),
            Self::K3s { .. } | Self::Containerd { .. } => true,
        }
    }

    fn way(&self) -> DeliveryWay {
        match self {
            Self::Kind { .. } => DeliveryWay::Kind,
            Self::Minikube { .. } => DeliveryWay::Minikube,
            Self::K3d { .. } => DeliveryWay::K3d,
            Self::K3s { .. } => DeliveryWay::K3s,
            Self::Containerd { .. } => DeliveryWay::Containerd,
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Kind { .. } => "kind".into(),
            Self::Minikube { .. } => "minikube".into(),
            Self::K3d { .. } => "k3d".into(),
            Self::K3s { .. } => "k3s".into(),
            Self::Containerd { .. } => "containerd".into(),
        }
    }

    fn text(&self, nodes: usize) -> String {
        match self {
            Self::Kind { cluster, .. } | Self::K3d { cluster } => format!("To all nodes of the cluster {cluster}."),
            Self::Minikube { profile } => format!("To all nodes of the profile {profile}."),
            Self::K3s { here: false } | Self::Containerd { here: false } => {
                "On each node, by its administrator.".into()
            }
            Self::K3s { .. } | Self::Containerd { .. } if nodes == 1 => "To the node, which is this computer.".into(),
            Self::K3s { .. } | Self::Containerd { .. } => {
                format!("To the node that is this computer, one of {nodes}: pods on the others do not find it.")
            }
        }
    }

    fn program(&self) -> &'static str {
        match self {
            Self::Kind { .. } => "kind",
            Self::Minikube { .. } => "minikube",
            Self::K3d { .. } => "k3d",
            Self::K3s { .. } => "k3s",
            Self::Containerd { .. } => "ctr",
        }
    }

    fn arguments(&self, archive: &str) -> Vec<String> {
        let words: Vec<&str> = match self {
            Self::Kind { cluster, .. } => vec!["load", "image-archive", archive, "--name", cluster],
            Self::Minikube { profile } => vec!["image", "load", archive, "--profile", profile],
            // Its other mode needs an image from a registry, and ends well also where a node did not take ours
            // (github.com/k3d-io/k3d/issues/1072).
            Self::K3d { cluster } => vec!["image", "import", archive, "--cluster", cluster, "--mode", "direct"],
            Self::K3s { .. } => vec!["ctr", "images", "import", archive],
            Self::Containerd { .. } => vec!["--namespace", "k8s.io", "images", "import", archive],
        };
        words.into_iter().map(str::to_string).collect()
    }

    /// minikube ends well, and says nothing, also where a node did not take the image (`DoLoadImages` in its source).
    fn listing(&self) -> Option<Vec<String>> {
        match self {
            Self::Minikube { profile } => Some(["image", "ls", "--profile", profile].map(str::to_string).into()),
            _ => None,
        }
    }

    /// kind uses Docker unless it is told otherwise.
    fn variables(&self) -> Vec<(String, String)> {
        match self {
            Self::Kind { provider, .. } if provider != "docker" => {
                vec![("KIND_EXPERIMENTAL_PROVIDER".into(), provider.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// As a person would type it.
    fn command_line(&self) -> String {
        let mut words: Vec<String> = self
            .variables()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if matches!(self, Self::K3s { .. } | Self::Containerd { .. }) {
            words.push("sudo".into());
        }
        words.push(self.program().into());
        words.extend(self.arguments(ARCHIVE).iter().map(|word| shell_word(word)));
        let line = words.join(" ");
        match self {
            Self::K3s { here: false } | Self::Containerd { here: false } => format!("{line}   # on each node"),
            _ => line,
        }
    }

    /// What this computer lacks for it.
    fn lacks(&self, path: &OsStr) -> Option<String> {
        let program = self.program();
        let socket = match self {
            Self::K3s { here: false } | Self::Containerd { here: false } => {
                return Some("No node is this computer: run the command on each node.".into());
            }
            Self::K3s { .. } => Some(PathBuf::from(K3S)),
            // ctr's own variable.
            Self::Containerd { .. } => Some(env::var_os("CONTAINERD_ADDRESS").map_or(CONTAINERD.into(), PathBuf::from)),
            _ => None,
        };
        if tool::find(program, path).is_none() {
            return Some(format!("{program} is not installed on this computer, or not in PATH."));
        }
        let error = UnixStream::connect(socket.as_ref()?).err()?;
        let socket = socket.unwrap_or_default();
        Some(format!(
            "{} cannot be opened ({error}): run the command as an administrator.",
            socket.display()
        ))
    }
}

#[cfg(test)]
mod tests;
