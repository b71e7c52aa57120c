//! What this person may do, by the API server's own answers. Only what it says no to counts as forbidden: where it does not
//! say, nothing is kept from anybody, and what it then refuses is shown.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview,
    SelfSubjectRulesReviewSpec,
};
use kube::{Api, Client, api::PostParams, core::ApiResource};

use super::{
    connect::FORBIDDEN,
    istiod::Homes,
    kinds::NAMESPACE,
    pulse::answered,
    rights::{Access, Feature, Needs, TABLE, in_words},
};
use crate::fault::Result;

/// Questions that are asked at once.
pub(super) const AT_ONCE: usize = 8;
/// Namespaces that are asked about one by one, where something is not allowed in all of them.
pub(super) const MAX_NAMESPACES: usize = 100;
/// How long an answer about one namespace holds.
const HOLDS: Duration = Duration::from_secs(5);

/// Where a feature may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// In every namespace, or in its only one.
    pub everywhere: bool,
    /// The only namespace that matters.
    pub only_in: Option<String>,
    /// Else in these.
    pub namespaces: BTreeSet<String>,
    /// True where it may be allowed in more of them: the API server did not say.
    pub unsure: bool,
    /// What is missing for all namespaces.
    pub missing: Vec<Access>,
}

/// The answers.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    reaches: BTreeMap<Feature, Reach>,
    /// About one namespace each, with their time.
    single: HashMap<(Access, String), (bool, Instant)>,
}

impl Reach {
    /// Whether it can be of use anywhere.
    pub fn anywhere(&self) -> bool {
        self.everywhere || self.unsure || !self.namespaces.is_empty()
    }

    /// What is missing for `feature`, else all that it needs: `patch deployments.apps`.
    pub fn needs(&self, feature: Feature) -> String {
        let missing = match self.missing.as_slice() {
            [] => feature.needs().accesses(),
            missing => missing.to_vec(),
        };
        in_words(&missing)
    }
}

impl Rights {
    /// Where `feature` may be used.
    pub fn reach(&self, feature: Feature) -> Reach {
        self.reaches.get(&feature).cloned().unwrap_or(Reach {
            unsure: true,
            ..Reach::default()
        })
    }

    /// Where each feature of the table may be used.
    pub fn all(&self) -> impl Iterator<Item = (Feature, Reach)> {
        TABLE.iter().map(|needs| (needs.feature, self.reach(needs.feature)))
    }

    /// The answer about one namespace, while it holds.
    pub(super) fn known(&self, access: Access, namespace: &str) -> Option<bool> {
        let (allowed, at) = self.single.get(&(access, namespace.to_string()))?;
        (at.elapsed() < HOLDS).then_some(*allowed)
    }

    /// Keeps answers about one namespace, and drops old ones.
    pub(super) fn note(&mut self, namespace: &str, answers: &[(Access, bool)]) {
        self.single.retain(|_, (_, at)| at.elapsed() < HOLDS);
        let now = Instant::now();
        let keyed = answers
            .iter()
            .map(|(access, allowed)| ((*access, namespace.to_string()), (*allowed, now)));
        self.single.extend(keyed);
    }
}

/// Asks about everything in the table: first for all namespaces, then one by one where that is not allowed.
pub(super) async fn ask(client: &Client, namespaces: &[String], homes: &Homes) -> Result<Rights> {
    let all: BTreeSet<Access> = TABLE.iter().flat_map(Needs::accesses).collect();
    let answers = each(client, all.into_iter().collect(), None, homes.main()).await?;
    let mut rights = Rights::default();
    for needs in TABLE {
        let missing: Vec<Access> = needs
            .accesses()
            .into_iter()
            .filter(|access| answers.get(access) == Some(&false))
            .collect();
        let unsure = needs.accesses().iter().any(|access| !answers.contains_key(access));
        let reach = Reach {
            everywhere: missing.is_empty() && !unsure,
            only_in: needs.at_home().then(|| homes.main().to_string()),
            unsure,
            missing,
            ..Reach::default()
        };
        rights.reaches.insert(needs.feature, reach);
    }
    let open: Vec<Feature> = TABLE
        .iter()
        .filter(|needs| !needs.everywhere && !rights.reaches[&needs.feature].everywhere)
        .filter(|needs| !needs.at_home())
        .map(|needs| needs.feature)
        .collect();
    if open.is_empty() {
        return Ok(rights);
    }
    let asked = namespaces.iter().take(MAX_NAMESPACES).cloned();
    let mut found = stream::iter(asked.map(|namespace| rules(client, namespace))).buffer_unordered(AT_ONCE);
    while let Some((namespace, rules)) = found.next().await {
        for feature in &open {
            let reach = rights.reaches.entry(*feature).or_default();
            match &rules {
                Some(rules) if rules.grant(*feature) => {
                    reach.namespaces.insert(namespace.clone());
                }
                Some(Rules { complete: true, .. }) => {}
                Some(_) | None => reach.unsure = true,
            }
        }
    }
    drop(found);
    if namespaces.len() > MAX_NAMESPACES {
        for feature in &open {
            rights.reaches.entry(*feature).or_default().unsure = true;
        }
    }
    Ok(rights)
}

/// Asks for each access, in `namespace` or in all of them, and in `home` for what matters only there. What the API server does not say is left out.
pub(super) async fn each(
    client: &Client,
    accesses: Vec<Access>,
    namespace: Option<&str>,
    home: &str,
) -> Result<HashMap<Access, bool>> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let asked = accesses.into_iter().map(|access| {
        let reviews = &reviews;
        async move {
            let namespace = if access.at_home { Some(home) } else { namespace };
            let review = review(access, namespace);
            (access, answered(reviews.create(&PostParams::default(), &review)).await)
        }
    });
    let mut answers = HashMap::new();
    let mut found = stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((access, answer)) = found.next().await {
        match answer.map(|answer| answer.status) {
            Ok(Some(status)) if status.allowed || status.evaluation_error.is_none() => {
                answers.insert(access, status.allowed);
            }
            Ok(_) => {}
            // Even to ask can be forbidden.
            Err(fault) if fault.code == FORBIDDEN => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(answers)
}

fn review(access: Access, namespace: Option<&str>) -> SelfSubjectAccessReview {
    let (resource, subresource) = match access.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (access.resource, None),
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(access.verb.into()),
                group: Some(access.group.into()),
                resource: Some(resource.into()),
                subresource: subresource.map(str::to_string),
                namespace: namespace.map(str::to_string),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

/// What is allowed in one namespace.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    rules: Vec<ResourceRule>,
    /// There is nothing more.
    complete: bool,
}

/// What is allowed in `namespace`; `None` where the API server does not say.
pub(super) async fn rules(client: &Client, namespace: String) -> (String, Option<Rules>) {
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.clone()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let answer = answered(reviews.create(&PostParams::default(), &review)).await;
    let status = answer.ok().and_then(|answer| answer.status);
    let rules = status.map(|status| Rules {
        rules: status.resource_rules,
        complete: !status.incomplete,
    });
    (namespace, rules)
}

impl Rules {
    /// Whether they hold everything that `feature` needs in any namespace.
    fn grant(&self, feature: Feature) -> bool {
        let accesses = feature.needs().accesses().into_iter();
        let mut own = accesses.filter(|access| !access.at_home);
        own.all(|access| self.hold(access.verb, access.group, access.resource))
    }

    /// Whether objects of `kind` can be followed, as far as anybody knows.
    pub fn allow_to_follow(&self, kind: &ApiResource) -> bool {
        // Of a namespace itself, a Role can only allow to get it.
        let verbs: &[&str] = if kind.kind == NAMESPACE {
            &["get"]
        } else {
            &["list", "watch"]
        };
        let hold = |verb: &&str| self.hold(verb, &kind.group, &kind.plural);
        !self.complete || verbs.iter().all(hold)
    }

    /// Rules for named objects only do not count.
    fn hold(&self, verb: &str, group: &str, resource: &str) -> bool {
        let names = |list: &[String], name: &str| list.iter().any(|each| each == "*" || each == name);
        self.rules.iter().any(|rule| {
            let resources = rule.resources.as_deref().unwrap_or_default();
            let any_subresource = resource
                .split_once('/')
                .is_some_and(|(_, subresource)| names(resources, &format!("*/{subresource}")));
            rule.resource_names.as_ref().is_none_or(Vec::is_empty)
                && names(&rule.verbs, verb)
                && names(rule.api_groups.as_deref().unwrap_or_default(), group)
                && (names(resources, resource) || any_subresource)
        })
    }

    /// All that there is: `verbs` for `resources` of every group.
    #[cfg(test)]
    pub fn of(resources: &[&str], verbs: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rule = ResourceRule {
            api_groups: Some(owned(&["*"])),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            resource_names: None,
        };
        Self {
            rules: vec![rule],
            complete: true,
        }
    }
}

/// Why something cannot be used: the missing permissions, and where.
pub(super) fn reason(missing: &[Access], place: Option<&str>) -> String {
    match place {
        Some(namespace) => format!("needs {} in {namespace}", in_words(missing)),
        None => format!("needs {} in all namespaces", in_words(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rights::place, *};

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> ResourceRule {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        ResourceRule {
            api_groups: Some(owned(groups)),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            resource_names: Some(owned(names)),
        }
    }

    #[test]
    fn rules_grant_a_feature_only_whole_and_not_for_named_objects_alone() {
        let restart = Feature::RestartWorkloads;
        let pods = rule(&[""], &["pods"], &["list"], &[]);
        for (rules, granted) in [
            (vec![rule(&["*"], &["*"], &["*"], &[])], true),
            (
                vec![rule(&["apps"], &["*"], &["get", "patch"], &[]), pods.clone()],
                true,
            ),
            (vec![rule(&["apps"], &["*"], &["get", "patch"], &[])], false),
            (
                vec![rule(&["apps"], &["deployments"], &["get", "patch"], &[]), pods.clone()],
                false,
            ),
            (
                vec![rule(&["apps"], &["*"], &["get", "patch"], &["sleep"]), pods],
                false,
            ),
            (vec![], false),
        ] {
            let rules = Rules { rules, complete: true };
            assert_eq!(rules.grant(restart), granted, "{rules:?}");
        }
        let sockets = rule(&[""], &["pods", "*/exec"], &["*"], &[]);
        let sockets = Rules {
            rules: vec![sockets],
            complete: true,
        };
        assert!(sockets.grant(Feature::SendRequests));
    }

    #[test]
    fn a_reason_names_the_rule_and_the_namespace() {
        let missing = [Access {
            verb: "patch",
            group: "networking.istio.io",
            resource: "serviceentries",
            at_home: false,
        }];
        assert_eq!(
            reason(&missing, Some("default")),
            "needs patch serviceentries.networking.istio.io in default"
        );
        assert!(reason(&missing, None).ends_with("in all namespaces"));
        let mesh = Feature::WriteMesh.needs().accesses();
        let place = |accesses: &[Access]| place(accesses, Some("x"), "mesh").unwrap();
        assert_eq!(reason(&mesh, Some(place(&mesh))), "needs get, patch configmaps in mesh");
        assert_eq!(place(&missing), "x");
    }
}
