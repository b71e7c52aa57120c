//! What stands before a thing that this person may not do: the reason, and the Role that would change it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};
use tokio::time;

use super::{
    Cluster,
    allowed::{self, Rights, reason},
    attempt::is_away,
    connect::FORBIDDEN,
    istiod::Homes,
    kinds::object_of,
    rights::{Access, Feature, place},
    role::role_for,
    spaces::Spaces,
};
use crate::{
    change::FileEdit,
    fault::{Fault, Result},
};

/// How long it rests before an API server that did not answer is asked again.
const REST: Duration = Duration::from_secs(30);

/// Permissions that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// `needs patch serviceentries.networking.istio.io in default`.
    pub reason: String,
    /// A Role with them, bound to this person, as YAML.
    pub role: String,
}

impl Cluster {
    /// What this person may do, as it was when last asked.
    pub fn rights(&self) -> Rights {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_rights(&self, rights: Rights) {
        *self.rights.lock().unwrap_or_else(PoisonError::into_inner) = rights;
    }

    /// From now on a person has named these namespaces: they are looked at, where not all are visible.
    pub fn name_namespaces(&self, namespaces: &[String]) {
        self.spaces.name(namespaces);
    }

    /// What of `feature` is missing in `namespace`, by the API server's answer now; `None` where nothing is.
    pub fn missing(&self, feature: Feature, namespace: &str) -> Result<Option<Missing>> {
        self.lacks(feature.needs().accesses(), feature, namespace)
    }

    /// A fault unless `feature` may be used in `namespace`.
    pub fn require(&self, feature: Feature, namespace: &str) -> Result<()> {
        match self.missing(feature, namespace)? {
            None => Ok(()),
            Some(missing) => Err(refused(feature, &missing.reason)),
        }
    }

    /// A fault unless something can be changed somewhere.
    pub fn require_any_change(&self) -> Result<()> {
        let rights = self.rights();
        if rights
            .all()
            .any(|(feature, reach)| feature.writes() && reach.anywhere())
        {
            return Ok(());
        }
        self.forbidden(Feature::WriteServiceEntries).map_or(Ok(()), Err)
    }

    /// Why `feature` can be used nowhere, as it was when last asked; `None` where it can, or where nobody knows.
    pub fn forbidden(&self, feature: Feature) -> Option<Fault> {
        let reach = self.rights().reach(feature);
        let place = place(&reach.missing, None, self.homes.main());
        (!reach.anywhere()).then(|| refused(feature, &reason(&reach.missing, place)))
    }

    /// The Role for `feature` in `namespace`, or in all of them.
    pub fn role(&self, feature: Feature, namespace: Option<&str>) -> String {
        self.role_of(feature, &feature.needs().accesses(), namespace)
    }

    /// What is missing for writing `edits`; the first one that lacks something.
    pub(super) fn lacks_for(&self, edits: &[FileEdit]) -> Result<Option<Missing>> {
        for edit in edits {
            let Some((kind, namespace, _)) = object_of(&edit.file) else {
                continue;
            };
            let Some(feature) = Feature::that_writes(kind) else {
                continue;
            };
            let verbs: &[&str] = match (&edit.before, &edit.after) {
                (None, _) => &["get", "create", "patch"],
                (_, None) => &["get", "delete"],
                _ => &["get", "patch"],
            };
            let mut accesses = feature.needs().accesses();
            let own = self.resource(kind)?.plural.as_str();
            accesses.retain(|access| access.resource == own && verbs.contains(&access.verb));
            if let Some(missing) = self.lacks(accesses, feature, namespace)? {
                return Ok(Some(missing));
            }
        }
        Ok(None)
    }

    fn lacks(&self, accesses: Vec<Access>, feature: Feature, namespace: &str) -> Result<Option<Missing>> {
        let own = self.rights();
        if own.reach(feature).everywhere {
            return Ok(None);
        }
        let known = |access: &Access| own.known(*access, namespace);
        let open: Vec<Access> = accesses
            .iter()
            .copied()
            .filter(|access| known(access).is_none())
            .collect();
        let home = self.homes.one(namespace);
        let (client, asked, own_home) = (self.client.clone(), namespace.to_string(), home.to_string());
        let fresh = self.call(async move { allowed::each(&client, open, Some(&asked), &own_home).await })?;
        let answers: Vec<(Access, bool)> = fresh.into_iter().collect();
        let no = |access: &Access| {
            let fresh = answers.iter().find(|(asked, _)| asked == access);
            fresh.map_or_else(|| known(access), |(_, allowed)| Some(*allowed)) == Some(false)
        };
        let missing: Vec<Access> = accesses.into_iter().filter(no).collect();
        let mut rights = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        rights.note(namespace, &answers);
        drop(rights);
        Ok((!missing.is_empty()).then(|| Missing {
            reason: reason(&missing, place(&missing, Some(namespace), home)),
            role: self.role_of(feature, &missing, Some(namespace)),
        }))
    }

    fn role_of(&self, feature: Feature, accesses: &[Access], namespace: Option<&str>) -> String {
        let home = self.homes.one(namespace.unwrap_or_default());
        let place = place(accesses, namespace, home);
        role_for(&feature.slug(), accesses, place, self.who.as_deref())
    }
}

fn refused(feature: Feature, reason: &str) -> Fault {
    let needs = feature.needs();
    Fault::new(FORBIDDEN, format!("{}: {reason}.", needs.words)).hint(format!(
        "The menu at the top left has the Role that an administrator can apply; the documented role {} holds it too.",
        needs.role.name()
    ))
}

/// What this person may do, and who they are where the API server says it.
pub(super) async fn ask(client: &Client, namespaces: &[String], homes: &Homes) -> Result<(Rights, Option<String>)> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let (parameters, review) = (PostParams::default(), SelfSubjectReview::default());
    let who = reviews.create(&parameters, &review);
    let (rights, who) = tokio::join!(allowed::ask(client, namespaces, homes), who);
    let who = who.ok().and_then(|review| review.status?.user_info?.username);
    Ok((rights?, who))
}

/// Asks again what this person may do whenever other namespaces are visible, and where nobody answered, and tells
/// `changed`.
pub(super) async fn keep_up(
    client: Client,
    spaces: Arc<Spaces>,
    homes: Homes,
    rights: Arc<Mutex<Rights>>,
    changed: impl Fn(),
) {
    let mut grants = spaces.grants();
    grants.mark_unchanged();
    let mut unanswered = false;
    loop {
        tokio::select! {
            more = grants.changed() => if more.is_err() { return },
            () = time::sleep(REST), if unanswered => {}
        }
        let fresh = allowed::ask(&client, &spaces.known(), &homes).await;
        unanswered = fresh.as_ref().is_err_and(is_away);
        // Where it cannot be asked now, the answers of before hold.
        if let Ok(fresh) = fresh {
            *rights.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        changed();
    }
}
