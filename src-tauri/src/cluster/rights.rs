//! What each thing that a person does asks of the API server: the one table of permissions. The gates in the windows, the
//! roles in `deploy/roles.yaml` and the table of the README all come from it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::kinds::ROLLING;

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Feature {
    SeePolicy,
    SeeRevisions,
    SeeOwnRanges,
    SeeAccessLog,
    FollowLogs,
    WriteServiceEntries,
    WriteVirtualServices,
    WriteSidecars,
    WriteMesh,
    WriteTelemetry,
    WriteWorkloads,
    SendRequests,
    EphemeralContainers,
    DeployProbe,
    RestartWorkloads,
    SeeSync,
    DeploySidecar,
    AttachSidecar,
    ReachServices,
    SeeEnvironment,
    SeeSecrets,
}

/// Who does it; each role adds to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes policy.
    Editor,
    /// Also acts on workloads.
    Operator,
    /// Also reads Secrets, where a person asks for those of a workload.
    Secrets,
}

impl Role {
    /// Its name in `deploy/roles.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "egret-viewer",
            Self::Editor => "egret-editor",
            Self::Operator => "egret-operator",
            Self::Secrets => "egret-secrets",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Needs {
    pub feature: Feature,
    /// As a person calls it.
    pub words: &'static str,
    pub role: Role,
    /// Of use only where it is allowed in all namespaces: what it needs is in none of them.
    pub everywhere: bool,
    pub rules: &'static [Rule],
}

/// As a Role has it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub group: &'static str,
    pub resources: &'static [&'static str],
    pub verbs: &'static [&'static str],
    /// Needed only where Istio itself is.
    pub at_home: bool,
}

/// One question to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access {
    pub verb: &'static str,
    pub group: &'static str,
    /// With a subresource after a slash.
    pub resource: &'static str,
    /// Only the namespace where Istio itself is matters.
    pub at_home: bool,
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["get", "create", "update", "patch", "delete"];
/// A socket is opened by `get` up to Kubernetes 1.34, and asks for `create` too since 1.35.
const SOCKET: &[&str] = &["get", "create"];

const fn rule(group: &'static str, resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule {
        group,
        resources,
        verbs,
        at_home: false,
    }
}

const fn istio(resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    rule("networking.istio.io", resources, verbs)
}

/// Where Istio itself is: its ConfigMaps, its pods.
const fn root(resources: &'static [&'static str], verbs: &'static [&'static str]) -> Rule {
    Rule {
        at_home: true,
        ..rule("", resources, verbs)
    }
}

/// Everything that Egret does in a cluster.
pub const TABLE: &[Needs] = &[
    Needs {
        feature: Feature::SeePolicy,
        words: "See the policy",
        role: Role::Viewer,
        everywhere: false,
        rules: &[
            rule("", &["namespaces", "services", "pods"], READ),
            rule("apps", &["deployments", "statefulsets", "daemonsets"], READ),
            istio(
                &[
                    "serviceentries",
                    "virtualservices",
                    "destinationrules",
                    "sidecars",
                    "gateways",
                ],
                READ,
            ),
            root(&["configmaps"], READ),
        ],
    },
    Needs {
        feature: Feature::SeeRevisions,
        words: "See revisions, tags and the data plane",
        role: Role::Viewer,
        everywhere: true,
        rules: &[
            rule("", &["pods"], &["list"]),
            rule("admissionregistration.k8s.io", &["mutatingwebhookconfigurations"], READ),
        ],
    },
    Needs {
        feature: Feature::SeeOwnRanges,
        words: "Find the cluster's own ranges",
        role: Role::Viewer,
        everywhere: true,
        rules: &[
            rule("", &["nodes"], &["list"]),
            rule("networking.k8s.io", &["servicecidrs"], &["list"]),
        ],
    },
    Needs {
        feature: Feature::SeeAccessLog,
        words: "See whether the sidecars log",
        role: Role::Viewer,
        everywhere: false,
        rules: &[
            rule("telemetry.istio.io", &["telemetries"], READ),
            istio(&["envoyfilters"], READ),
        ],
    },
    Needs {
        feature: Feature::FollowLogs,
        words: "Follow the sidecars' logs",
        role: Role::Viewer,
        everywhere: false,
        rules: &[
            rule("", &["pods"], &["list", "watch"]),
            rule("", &["pods/log"], &["get"]),
        ],
    },
    Needs {
        feature: Feature::WriteServiceEntries,
        words: "Change services",
        role: Role::Editor,
        everywhere: false,
        rules: &[istio(&["serviceentries"], WRITE)],
    },
    Needs {
        feature: Feature::WriteVirtualServices,
        words: "Change timeouts",
        role: Role::Editor,
        everywhere: false,
        rules: &[istio(&["virtualservices"], WRITE)],
    },
    Needs {
        feature: Feature::WriteSidecars,
        words: "Change modes of namespaces and workloads",
        role: Role::Editor,
        everywhere: false,
        rules: &[istio(&["sidecars"], WRITE)],
    },
    Needs {
        feature: Feature::WriteMesh,
        words: "Change the mesh's mode and bypass ranges",
        role: Role::Editor,
        everywhere: false,
        rules: &[root(&["configmaps"], &["get", "patch"])],
    },
    Needs {
        feature: Feature::WriteTelemetry,
        words: "Switch the sidecars' logs on",
        role: Role::Editor,
        everywhere: false,
        rules: &[rule("telemetry.istio.io", &["telemetries"], WRITE)],
    },
    Needs {
        feature: Feature::WriteWorkloads,
        words: "Give workloads bypass ranges of their own",
        role: Role::Editor,
        everywhere: false,
        rules: &[rule(
            "apps",
            &["deployments", "statefulsets", "daemonsets"],
            &["get", "patch"],
        )],
    },
    Needs {
        feature: Feature::SendRequests,
        words: "Send requests from a pod",
        role: Role::Operator,
        everywhere: false,
        rules: &[rule("", &["pods"], &["list"]), rule("", &["pods/exec"], SOCKET)],
    },
    Needs {
        feature: Feature::EphemeralContainers,
        words: "Send requests from a pod without curl",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule("", &["pods"], &["get", "list"]),
            rule("", &["pods/ephemeralcontainers"], &["patch"]),
        ],
    },
    Needs {
        feature: Feature::DeployProbe,
        words: "Deploy a probe to send requests from",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule("apps", &["deployments"], &["get", "create", "patch", "delete"]),
            rule("", &["serviceaccounts"], &["get", "create", "patch", "delete"]),
        ],
    },
    Needs {
        feature: Feature::RestartWorkloads,
        words: "Restart workloads",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule(
                "apps",
                &["deployments", "statefulsets", "daemonsets"],
                &["get", "patch"],
            ),
            rule("", &["pods"], &["list"]),
        ],
    },
    Needs {
        feature: Feature::SeeSync,
        words: "See whether the sidecars have a change",
        role: Role::Operator,
        everywhere: false,
        rules: &[root(&["pods"], &["list"]), root(&["pods/portforward"], SOCKET)],
    },
    Needs {
        feature: Feature::DeploySidecar,
        words: "Deploy the sidecar to a workload",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule("", &["configmaps"], &["get", "list", "create", "patch", "delete"]),
            rule("apps", &["deployments"], &["get", "list", "create", "patch", "delete"]),
            rule("apps", &["statefulsets", "daemonsets"], &["get", "list", "patch"]),
            // `create` tries a pod and stores none.
            rule("", &["pods"], &["list", "create"]),
            rule("", &["pods/portforward"], SOCKET),
            rule("policy", &["poddisruptionbudgets"], &["list"]),
        ],
    },
    Needs {
        feature: Feature::AttachSidecar,
        words: "Add the sidecar to a running pod",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule("", &["configmaps"], &["get", "list", "create", "patch", "delete"]),
            rule("apps", &["deployments", "statefulsets", "daemonsets"], &["get", "list"]),
            // The pod is marked with the session's label.
            rule("", &["pods"], &["get", "list", "patch"]),
            rule("", &["pods/ephemeralcontainers"], &["patch"]),
            rule("", &["pods/portforward"], SOCKET),
        ],
    },
    Needs {
        feature: Feature::ReachServices,
        words: "Reach Services from the sandbox",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule("", &["services"], &["get"]),
            rule("", &["pods"], &["list"]),
            rule("", &["pods/portforward"], SOCKET),
        ],
    },
    Needs {
        feature: Feature::SeeEnvironment,
        words: "Take a workload's variables over",
        role: Role::Operator,
        everywhere: false,
        rules: &[
            rule("apps", &["deployments", "statefulsets", "daemonsets"], &["get"]),
            rule("", &["pods", "configmaps"], &["get"]),
        ],
    },
    Needs {
        feature: Feature::SeeSecrets,
        words: "Take those over that come from Secrets",
        role: Role::Secrets,
        everywhere: false,
        rules: &[rule("", &["secrets"], &["get"])],
    },
];

impl Feature {
    /// The kinds of objects that are changed, each with the feature that changes it.
    pub fn that_writes(kind: &str) -> Option<Self> {
        match kind {
            "ServiceEntry" => Some(Self::WriteServiceEntries),
            "VirtualService" => Some(Self::WriteVirtualServices),
            "Sidecar" => Some(Self::WriteSidecars),
            "ConfigMap" => Some(Self::WriteMesh),
            "Telemetry" => Some(Self::WriteTelemetry),
            kind if ROLLING.contains(&kind) => Some(Self::WriteWorkloads),
            _ => None,
        }
    }

    /// Its name as a part of an object's name: `write-service-entries`.
    pub fn slug(self) -> String {
        format!("{self:?}").chars().fold(String::new(), |mut slug, letter| {
            if letter.is_uppercase() && !slug.is_empty() {
                slug.push('-');
            }
            slug.extend(letter.to_lowercase());
            slug
        })
    }

    /// True for what changes objects by Apply.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::WriteServiceEntries
                | Self::WriteVirtualServices
                | Self::WriteSidecars
                | Self::WriteMesh
                | Self::WriteTelemetry
                | Self::WriteWorkloads
        )
    }

    /// Its line of the table.
    pub fn needs(self) -> &'static Needs {
        // The test below finds each feature in the table.
        TABLE.iter().find(|needs| needs.feature == self).unwrap_or(&TABLE[0])
    }
}

impl Needs {
    /// Every single permission.
    pub fn accesses(&self) -> Vec<Access> {
        let rules = self.rules.iter();
        rules.flat_map(Rule::accesses).collect()
    }

    /// Whether all of it is needed only where Istio itself is.
    pub fn at_home(&self) -> bool {
        self.rules.iter().all(|rule| rule.at_home)
    }
}

impl Rule {
    fn accesses(&self) -> impl Iterator<Item = Access> + use<> {
        let Self {
            group,
            resources,
            verbs,
            at_home,
        } = *self;
        resources.iter().flat_map(move |resource| {
            verbs.iter().map(move |verb| Access {
                verb,
                group,
                resource,
                at_home,
            })
        })
    }
}

/// Where these are needed: where Istio itself is, in `home`, or else in `namespace`, all of them where there is none.
pub fn place<'n>(accesses: &[Access], namespace: Option<&'n str>, home: &'n str) -> Option<&'n str> {
    let at_home = !accesses.is_empty() && accesses.iter().all(|access| access.at_home);
    if at_home { Some(home) } else { namespace }
}

/// Permissions in one line: `list, watch pods, services; get pods/log`.
pub fn in_words(accesses: &[Access]) -> String {
    let named = accesses.iter().map(|access| {
        let resource = match access.group {
            "" => access.resource.to_string(),
            group => format!("{}.{group}", access.resource),
        };
        (resource, access.verb)
    });
    // Verbs by resource, then resources by verbs.
    let verbs = gathered(named);
    let lines = gathered(verbs.into_iter().map(|(resource, verbs)| (verbs.join(", "), resource)));
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(verbs, resources)| format!("{verbs} {}", resources.join(", ")))
        .collect();
    lines.join("; ")
}

/// What belongs to each key, in the order of the keys' first appearance.
fn gathered<T>(pairs: impl Iterator<Item = (String, T)>) -> Vec<(String, Vec<T>)> {
    let mut all: Vec<(String, Vec<T>)> = Vec::new();
    for (key, value) in pairs {
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => all.push((key, vec![value])),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_one_line_of_the_table() {
        for needs in TABLE {
            assert_eq!(needs.feature.needs().words, needs.words);
            assert!(!needs.accesses().is_empty());
        }
        for (kind, feature) in [
            ("ServiceEntry", Feature::WriteServiceEntries),
            ("ConfigMap", Feature::WriteMesh),
        ] {
            assert_eq!(Feature::that_writes(kind), Some(feature));
            assert!(feature.writes());
        }
        assert_eq!(Feature::that_writes("Secret"), None);
        assert_eq!(Feature::WriteServiceEntries.slug(), "write-service-entries");
    }

    #[test]
    fn permissions_are_said_in_the_words_of_a_role() {
        let needs = Feature::WriteServiceEntries.needs();
        assert_eq!(
            in_words(&needs.accesses()),
            "get, create, update, patch, delete serviceentries.networking.istio.io"
        );
        let needs = Feature::FollowLogs.needs();
        assert_eq!(in_words(&needs.accesses()), "list, watch pods; get pods/log");
        let needs = Feature::RestartWorkloads.needs();
        assert_eq!(
            in_words(&needs.accesses()),
            "get, patch deployments.apps, statefulsets.apps, daemonsets.apps; list pods"
        );
    }
}
