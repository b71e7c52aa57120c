//! The namespaces that are followed one by one, where what is in all of them may not be listed: which ones there are, as
//! far as this person may know, and what may be listed in each, by the API server's own answer. Rights that are gained
//! or taken away later are noticed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use kube::Client;
use tokio::{
    sync::{Notify, watch},
    time,
};

use super::{
    allowed::{AT_ONCE, MAX_NAMESPACES, Rules, rules},
    kinds::{Kind, NAMESPACE},
    mirror::Mirror,
};

/// Namespaces that are followed one by one at the most: each takes a watch a kind.
pub const MAX_SINGLY: usize = 30;
/// How long an answer holds at first; doubled each time.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What may be followed singly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    /// Namespaces by kind.
    pub namespaces: BTreeMap<String, BTreeSet<String>>,
    /// How many more namespaces there are that may be visible.
    pub beyond: usize,
}

/// The namespaces of one connection.
pub(super) struct Spaces {
    client: Client,
    mirror: Arc<Mirror>,
    kinds: Vec<Kind>,
    /// The context's own namespace, then those that a person has named.
    named: Mutex<Vec<String>>,
    stirred: Notify,
    /// scout --grants--> followers
    grants: watch::Sender<Option<Grants>>,
}

impl Spaces {
    pub fn new(client: Client, mirror: Arc<Mirror>, kinds: Vec<Kind>, named: &[String]) -> Arc<Self> {
        let spaces = Self {
            client,
            mirror,
            kinds,
            named: Mutex::default(),
            stirred: Notify::new(),
            grants: watch::channel(None).0,
        };
        spaces.name(named);
        Arc::new(spaces)
    }

    /// From now on a person has named these.
    pub fn name(&self, named: &[String]) {
        let own = self.client.default_namespace().to_string();
        let mut all = vec![own];
        for each in named {
            if !all.contains(each) {
                all.push(each.clone());
            }
        }
        *self.named() = all;
        self.stir();
    }

    /// Every namespace that is known to this person: the context's own, those that were named, and those that are there.
    pub fn known(&self) -> Vec<String> {
        let mut known = self.named().clone();
        let mut there = self.mirror.names(NAMESPACE);
        there.retain(|each| !known.contains(each));
        known.append(&mut there);
        known
    }

    /// What may be followed singly; nothing until that was asked.
    pub fn grants(&self) -> watch::Receiver<Option<Grants>> {
        self.grants.subscribe()
    }

    /// How many namespaces may be visible, and are not followed.
    pub fn beyond(&self) -> usize {
        self.grants.borrow().as_ref().map_or(0, |grants| grants.beyond)
    }

    /// Asks again soon.
    pub fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Asks what may be followed singly whenever that matters, until it is dropped.
    pub async fn scout(self: Arc<Self>) {
        let mut rest = FIRST_REST;
        loop {
            let watches = self.mirror.watches();
            let known = watches.get(NAMESPACE).is_some_and(|kind| kind.whole.is_settled());
            if !known || !watches.values().any(|kind| kind.refused) {
                self.stirred.notified().await;
                continue;
            }
            self.ask().await;
            tokio::select! {
                () = time::sleep(rest) => rest = (rest * 2).min(LONGEST_REST),
                () = self.stirred.notified() => rest = FIRST_REST,
            }
        }
    }

    async fn ask(&self) {
        let known = self.known();
        let asked = known.iter().take(MAX_NAMESPACES).cloned();
        let answers = stream::iter(asked.map(|namespace| rules(&self.client, namespace)));
        let answers: BTreeMap<String, Option<Rules>> = answers.buffer_unordered(AT_ONCE).collect().await;
        self.grants.send_if_modified(|before| {
            let grants = grants(&self.kinds, &known, &answers, before.as_ref());
            before.replace(grants) != *before
        });
    }

    // What is guarded is replaced whole.
    fn named(&self) -> MutexGuard<'_, Vec<String>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `answers` allow, in the order of `known`. Where there is no answer that of `before` holds, and at first it is
/// tried: what is then refused is not seen.
fn grants(
    kinds: &[Kind],
    known: &[String],
    answers: &BTreeMap<String, Option<Rules>>,
    before: Option<&Grants>,
) -> Grants {
    let may_follow = |namespace: &str, kind: &Kind| match (answers.get(namespace).and_then(Option::as_ref), before) {
        (Some(rules), _) => rules.allow_to_follow(&kind.resource),
        (None, Some(before)) => {
            let own = before.namespaces.get(&kind.resource.kind);
            own.is_some_and(|own| own.contains(namespace))
        }
        (None, None) => true,
    };
    let mut grants = Grants {
        beyond: known.len().saturating_sub(MAX_NAMESPACES),
        ..Grants::default()
    };
    let mut followed = 0;
    for namespace in known.iter().take(MAX_NAMESPACES) {
        let divisible = kinds.iter().filter(|kind| kind.is_divisible());
        let own: Vec<&Kind> = divisible.filter(|kind| may_follow(namespace, kind)).collect();
        if own.is_empty() {
            continue;
        }
        if followed == MAX_SINGLY {
            grants.beyond += 1;
            continue;
        }
        followed += 1;
        for kind in own {
            let namespaces = grants.namespaces.entry(kind.resource.kind.clone()).or_default();
            namespaces.insert(namespace.clone());
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use kube::core::{ApiResource, GroupVersionKind};
    use tokio::{runtime::Builder, sync::mpsc, task};

    use super::{
        super::{
            connect::FORBIDDEN,
            gates::keep_up,
            istiod::Homes,
            kinds::Scope,
            pulse::{LATE, tests::falls_silent},
        },
        *,
    };
    use crate::fault::Fault;

    fn kinds() -> Vec<Kind> {
        let kind = |kind: &str, scope| Kind {
            resource: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind)),
            scope,
        };
        vec![
            kind("Service", Scope::Namespaces),
            kind("Pod", Scope::Namespaces),
            kind("ConfigMap", Scope::Only("istio-system".into())),
        ]
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("n{index:03}")).collect()
    }

    #[test]
    fn only_what_the_api_server_allows_is_followed_and_what_it_does_not_say_is_tried() {
        let known = names(3);
        let services = Rules::of(&["services"], &["list", "watch"]);
        let answers = [
            ("n000".into(), Some(services)),
            ("n001".into(), Some(Rules::of(&["services"], &["list"]))),
            ("n002".into(), None),
        ];
        let answers = answers.into();
        let first = grants(&kinds(), &known, &answers, None);
        let of = |grants: &Grants, kind: &str| grants.namespaces.get(kind).cloned().unwrap_or_default();
        assert_eq!(of(&first, "Service"), ["n000".to_string(), "n002".to_string()].into());
        assert_eq!(of(&first, "Pod"), ["n002".to_string()].into());
        assert_eq!(of(&first, "ConfigMap"), BTreeSet::new(), "only one namespace matters");
        // Where the API server does not answer any more, what it has said holds.
        assert_eq!(grants(&kinds(), &known, &BTreeMap::new(), Some(&first)), first);
    }

    #[test]
    fn an_api_server_that_falls_silent_is_given_up_and_asked_again() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, mut question_rx) = falls_silent(0, &serde_json::Value::Null);
            let root = tempfile::tempdir().unwrap();
            let mirror = Mirror::new(&root.path().join("mirror")).unwrap();
            mirror.note(NAMESPACE, |standing| {
                standing.whole.lost = Some((Fault::new(FORBIDDEN, "no"), std::time::Instant::now()));
                standing.refused = true;
            });
            let spaces = Spaces::new(client.clone(), mirror, kinds(), &[]);
            // keep_up --after it asked--> test
            let (told_tx, mut told_rx) = mpsc::unbounded_channel();
            let told = move || _ = told_tx.send(());
            let homes = Homes::of(Vec::new());
            tokio::spawn(keep_up(client, spaces.clone(), homes, Arc::default(), told));
            task::yield_now().await;
            spaces.grants.send_replace(Some(Grants::default()));
            // Stirred where it was made, it asks again without a rest.
            tokio::spawn(spaces.clone().scout());
            let mut asked = async |kind: &str| {
                let asked = async { while !question_rx.recv().await.unwrap().ends_with(kind) {} };
                time::timeout(LATE * 20, asked).await.expect(kind);
            };
            asked("/selfsubjectaccessreviews").await;
            asked("/selfsubjectrulesreviews").await;
            asked("/selfsubjectrulesreviews").await;
            time::timeout(LATE * 20, told_rx.recv()).await.unwrap();
            spaces.grants.send_replace(None);
            time::timeout(LATE * 20, told_rx.recv()).await.unwrap();
        });
    }

    #[test]
    fn namespaces_beyond_the_bounds_are_counted() {
        let known = names(MAX_NAMESPACES + 7);
        let all = known
            .iter()
            .map(|name| (name.clone(), Some(Rules::of(&["*"], &["*"]))))
            .collect();
        let grants = grants(&kinds(), &known, &all, None);
        assert_eq!(grants.namespaces["Pod"].len(), MAX_SINGLY);
        assert_eq!(grants.beyond, known.len() - MAX_SINGLY);
        assert!(grants.namespaces["Pod"].contains("n000"), "the first ones named");
    }
}
