//! Who manages an object: a tool that would take a change back, and its own way to make it.

mod settings;

use kube::core::ObjectMeta;

pub(super) use settings::Settings;

use crate::dto::OwnersWay;

/// A tool that manages an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name, with what of it manages the object.
    pub tool: String,
    /// What becomes of a change that is made past it.
    pub effect: &'static str,
    /// What to do instead.
    pub advice: String,
    /// What to run there, or to commit.
    pub text: Option<String>,
}

impl Owner {
    /// For the change of `file`.
    pub fn way(self, file: String) -> OwnersWay {
        OwnersWay {
            file,
            tool: self.tool,
            effect: self.effect.into(),
            advice: self.advice,
            text: self.text,
        }
    }
}

/// A change that is about to be made.
pub(super) struct Change<'c> {
    /// The object as it will be written; absent where it is deleted.
    pub object: Option<&'c str>,
    /// What that amounts to in settings of Istio's installation.
    pub settings: Settings,
}

/// Who set fields of an object last, and when. Controllers that only write its status do not count.
pub(super) fn last_manager(metadata: &ObjectMeta) -> Option<String> {
    let entries = metadata.managed_fields.iter().flatten();
    let newest = entries
        .filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let manager = newest.manager.as_deref()?;
    Some(match &newest.time {
        Some(time) => format!("{manager}, {}", time.0),
        None => manager.to_string(),
    })
}

/// The tool that manages an object, by what it leaves on it; the one that acts soonest where there are several.
pub(super) fn owner(metadata: &ObjectMeta, change: &Change<'_>) -> Option<Owner> {
    let marks = Marks(metadata);
    marks
        .sail(change)
        .or_else(|| marks.argo(change))
        .or_else(|| marks.flux(change))
        .or_else(|| marks.istioctl(change))
        .or_else(|| marks.helm(change))
}

/// What tools leave on an object: labels, annotations, owners, names of field managers.
struct Marks<'m>(&'m ObjectMeta);

impl Marks<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.0.labels.as_ref()?.get(name).map(String::as_str)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.0.annotations.as_ref()?.get(name).map(String::as_str)
    }

    fn is_set_by(&self, manager: &str) -> bool {
        let mut entries = self.0.managed_fields.iter().flatten();
        entries.any(|entry| entry.manager.as_deref() == Some(manager))
    }

    fn sail(&self, change: &Change<'_>) -> Option<Owner> {
        let mut owners = self.0.owner_references.iter().flatten();
        let revision = owners.find(|owner| owner.kind == "IstioRevision")?;
        let values = change.settings.as_values(&["spec", "values"]);
        Some(Owner {
            tool: format!("the Sail operator ({})", revision.name),
            effect: "it is reconciled back",
            advice: match values {
                Some(_) => "Set this in the Istio resource that the revision belongs to.".into(),
                None => "Make the change in the Istio resource that the revision belongs to.".into(),
            },
            text: values,
        })
    }

    fn argo(&self, change: &Change<'_>) -> Option<Owner> {
        let application = self
            .annotation("argocd.argoproj.io/tracking-id")
            .and_then(|id| id.split(':').next())
            .or_else(|| self.label("argocd.argoproj.io/instance"))
            .or_else(|| self.is_set_by("argocd-controller").then_some("an application"))?;
        let values = change.settings.as_values(&[]);
        Some(Owner {
            tool: format!("Argo CD ({application})"),
            effect: "self-heal takes the change back within minutes, without it the application is out of sync",
            advice: match (&values, change.object) {
                (Some(_), _) => "Commit this to the values of Istio's chart in the application's repository.".into(),
                (None, Some(_)) => "Commit this to the application's repository.".into(),
                (None, None) => "Take the object out of the application's repository.".into(),
            },
            text: values.or_else(|| change.object.map(str::to_string)),
        })
    }

    fn flux(&self, change: &Change<'_>) -> Option<Owner> {
        let of = |kind: &str, name: &str, namespace: &str| {
            let own = self.label(name)?;
            Some(format!("{kind} {}/{own}", self.label(namespace).unwrap_or_default()))
        };
        let release = || {
            of(
                "HelmRelease",
                "helm.toolkit.fluxcd.io/name",
                "helm.toolkit.fluxcd.io/namespace",
            )
        };
        let (resource, values) = of(
            "Kustomization",
            "kustomize.toolkit.fluxcd.io/name",
            "kustomize.toolkit.fluxcd.io/namespace",
        )
        .map(|resource| (resource, None))
        .or_else(|| Some((release()?, change.settings.as_values(&["spec", "values"]))))?;
        let is_release = resource.starts_with("HelmRelease");
        Some(Owner {
            effect: "the next reconciliation takes the change back",
            advice: match (&values, change.object) {
                (Some(_), _) => format!("Commit this to the {resource} in its repository."),
                (None, _) if is_release => format!("Make the change in the values or the chart of the {resource}."),
                (None, Some(_)) => format!("Commit this to the repository of the {resource}."),
                (None, None) => format!("Take the object out of the repository of the {resource}."),
            },
            text: values.or_else(|| change.object.filter(|_| !is_release).map(str::to_string)),
            tool: format!("Flux ({resource})"),
        })
    }

    fn istioctl(&self, change: &Change<'_>) -> Option<Owner> {
        let resource = self.label("install.operator.istio.io/owning-resource")?;
        if resource == "unknown" {
            return None;
        }
        let command = change.settings.as_options("values.");
        let command = command.map(|options| format!("istioctl install{options}"));
        Some(Owner {
            tool: format!("istioctl ({resource})"),
            effect: "the next `istioctl install` overwrites it",
            advice: match command {
                Some(_) => "Install again with what it was installed with, and these: without the former, the rest \
                            is reset."
                    .into(),
                None => "Make the change in what it was installed with, and run `istioctl install` again.".into(),
            },
            text: command,
        })
    }

    fn helm(&self, change: &Change<'_>) -> Option<Owner> {
        let release = self.annotation("meta.helm.sh/release-name");
        let is_labelled = self.label("app.kubernetes.io/managed-by") == Some("Helm");
        if release.is_none() && !is_labelled && !self.is_set_by("helm") {
            return None;
        }
        let options = change.settings.as_options("");
        // Istio's chart is installed under this name as a rule.
        let release = release.or_else(|| options.as_ref().map(|_| "istiod"));
        let namespace = self.annotation("meta.helm.sh/release-namespace");
        let namespace = namespace.or(self.0.namespace.as_deref()).unwrap_or_default();
        let command = options.zip(release).map(|(options, release)| {
            format!("helm upgrade {release} istio/istiod --namespace {namespace} --reuse-values{options}")
        });
        Some(Owner {
            tool: match release {
                Some(release) => format!("Helm (release {namespace}/{release})"),
                None => "Helm".into(),
            },
            effect: "the next `helm upgrade` resets it, or stops at the conflict",
            advice: match command {
                Some(_) => "Upgrade the release with this.".into(),
                None => "Make the change in the values or the chart of the release, and upgrade it.".into(),
            },
            text: command,
        })
    }
}

#[cfg(test)]
mod tests;
