//! From the menu to an open cluster: which kubeconfigs there are, what a context leads to, and connecting, which takes its
//! time and can be called off.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::App;
use crate::{
    cluster::{self, Attempt, Cluster, Feature, Step},
    dto::{Connecting, ContextFacts, ContextRow, KubeconfigRow, PluginRow, SourceState},
    events::Event,
    fault::Result,
};

/// An attempt to connect.
pub(super) struct UnderWay {
    attempt: Arc<Attempt>,
    file: String,
    context: String,
}

impl App {
    /// Every kubeconfig with its contexts, as the files say it now.
    pub fn kubeconfigs(&self) -> Vec<KubeconfigRow> {
        let view = self.view();
        let open = view.origin.cluster();
        let row = |id: &str, (context, asks): (cluster::Context, bool)| {
            let own = open.filter(|cluster| cluster.opened_from() == (id, &context.name));
            let place = Cluster::journal_name(&context.name, &context.server);
            let window = self.shared.claims.window_of(&place);
            ContextRow {
                namespaces: self.shared.kubeconfigs.namespaces(id, &context.name),
                asks,
                open: own.is_some(),
                elsewhere: window.is_some_and(|window| window != self.window),
                changed: own.is_some_and(|cluster| cluster.is_outdated()),
                ..ContextRow::from(context)
            }
        };
        let listed = self.shared.kubeconfigs.list().into_iter();
        listed
            .map(|file| {
                let (contexts, fault) = match file.contexts {
                    Ok(contexts) => (contexts, None),
                    Err(fault) => (Vec::new(), Some(fault)),
                };
                KubeconfigRow {
                    contexts: contexts.into_iter().map(|context| row(&file.id, context)).collect(),
                    id: file.id,
                    name: file.name,
                    fault,
                }
            })
            .collect()
    }

    /// Remembers the namespaces to look at in a context where not all may be, and looks where it is open here.
    pub fn name_namespaces(&self, file: &str, name: &str, namespaces: Vec<String>) -> Result<()> {
        let kubeconfigs = &self.shared.kubeconfigs;
        kubeconfigs.name_namespaces(file, name, namespaces)?;
        let view = self.view();
        let open = view.origin.cluster();
        if let Some(cluster) = open.filter(|cluster| cluster.opened_from() == (file, name)) {
            cluster.name_namespaces(&kubeconfigs.namespaces(file, name));
        }
        Ok(())
    }

    /// The program that a person must allow before the context is used.
    pub fn plugin(&self, file: &str, name: &str) -> Result<Option<PluginRow>> {
        let plugin = self.shared.kubeconfigs.asks(file, name)?;
        Ok(plugin.map(|plugin| PluginRow {
            command: plugin.command,
            variables: plugin.variables,
        }))
    }

    /// Connects to `target`, which can be called off; an attempt of this window that is under way ends. `changed` is called
    /// when a watch is lost or comes back.
    pub(super) fn connect(
        &self,
        target: &cluster::Target,
        changed: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<Arc<Cluster>> {
        let (events, own) = (self.events.clone(), (target.id.clone(), target.context.name.clone()));
        let attempt = Arc::new(Attempt::new(move |step| {
            let state = connecting(&own.0, &own.1, step);
            events.send(Event::ConnectingChanged(Some(state)));
        }));
        let under_way = UnderWay {
            attempt: attempt.clone(),
            file: target.id.clone(),
            context: target.context.name.clone(),
        };
        let before = self.under_way().replace(under_way);
        if let Some(before) = before {
            before.attempt.cancel();
        }
        let connected = Cluster::open(target, &self.shared.mirrors.next(), changed, &attempt);
        let connected = connected.and_then(|cluster| attempt.go_on().map(|()| cluster));
        let mut under_way = self.under_way();
        // A newer attempt may have taken its place.
        if under_way
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(&own.attempt, &attempt))
        {
            *under_way = None;
            drop(under_way);
            self.events.send(Event::ConnectingChanged(None));
        }
        connected
    }

    /// What is under way.
    pub fn connecting(&self) -> Option<Connecting> {
        let under_way = self.under_way();
        let own = under_way.as_ref()?;
        Some(connecting(&own.file, &own.context, &own.attempt.last()?))
    }

    /// Calls off connecting.
    pub fn cancel_connecting(&self) {
        if let Some(own) = &*self.under_way() {
            own.attempt.cancel();
        }
    }

    /// What a context leads to: of the open one by its connection, of another one by a short look.
    pub fn context_facts(&self, file: &str, name: &str) -> Result<ContextFacts> {
        let view = self.view();
        let open = view.origin.cluster();
        match open.filter(|cluster| cluster.opened_from() == (file, name)) {
            Some(cluster) => {
                let facts = cluster.facts()?;
                self.session.announcer()();
                Ok(facts.into())
            }
            None => cluster::look(&self.shared.kubeconfigs.target(file, name)?).map(ContextFacts::from),
        }
    }

    /// A Role with what `feature` needs, for this person in the open cluster.
    pub fn role(&self, feature: Feature, namespace: Option<&str>) -> Result<String> {
        Ok(self.cluster()?.role(feature, namespace))
    }

    /// Switches editing of the open cluster on or off.
    pub fn set_editing(&self, on: bool) -> Result<SourceState> {
        let cluster = self.cluster()?;
        if on {
            cluster.require_any_change()?;
        }
        cluster.set_editing(on);
        self.session.announcer()();
        Ok(self.view().state())
    }

    fn under_way(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connecting(file: &str, context: &str, step: &Step) -> Connecting {
    Connecting {
        file: file.to_string(),
        context: context.to_string(),
        step: step.to_string(),
    }
}
