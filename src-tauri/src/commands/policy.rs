//! The Policy screen and its drafts.

use super::{Parts, patiently};
use crate::{
    draft::{self, Present},
    dto::{Draft, DraftKind, GatewayRow, ObjectText, PolicyView, RegistryView, ServiceForm, TimeoutForm},
    fault::Result,
    session,
};

#[tauri::command]
pub async fn policy_view(app: Parts<'_>) -> Result<PolicyView> {
    patiently(&app, |app| {
        let view = app.view();
        let findings = session::findings_of(&view);
        Ok(session::policy_view(
            &view,
            app.changes.proposed(&view).as_ref(),
            findings,
        ))
    })
    .await
}

/// Kubernetes Services and DestinationRules, asked for only where they are shown: there may be many.
#[tauri::command(async)]
pub fn registry(app: Parts<'_>) -> RegistryView {
    session::registry_view(&app.view())
}

#[tauri::command(async)]
pub fn gateways(app: Parts<'_>) -> Vec<GatewayRow> {
    session::gateways(&app.view())
}

#[tauri::command(async)]
pub fn object_text(app: Parts<'_>, kind: String, namespace: String, name: String) -> Result<ObjectText> {
    session::object_text(&app.view(), &kind, &namespace, &name)
}

#[tauri::command]
pub async fn draft_open(app: Parts<'_>, kind: DraftKind, namespace: String, name: String) -> Result<Draft> {
    patiently(&app, move |app| {
        let view = app.view();
        let staged = app.changes.staged_object(kind, &namespace, &name);
        draft::open(&view, staged, (kind, &namespace, &name))
    })
    .await
}

#[tauri::command]
pub async fn draft_new(app: Parts<'_>, kind: DraftKind, flow_id: Option<u64>) -> Result<Draft> {
    patiently(&app, move |app| {
        let view = app.view();
        let Some(id) = flow_id else {
            return Ok(draft::blank(&view, kind));
        };
        let proposed = app.changes.proposed(&view);
        let present = Present {
            world: proposed.as_ref().unwrap_or(view.world()),
            staged: &|kind, namespace, name| app.changes.staged_object(kind, namespace, name),
        };
        draft::from_flow(&view, &present, kind, &app.flow(id)?)
    })
    .await
}

#[tauri::command(async)]
pub fn draft_from_service(app: Parts<'_>, form: ServiceForm, yaml: Option<String>) -> Result<Draft> {
    draft::from_service(&app.view(), form, yaml.as_deref())
}

#[tauri::command]
pub async fn draft_from_timeout(app: Parts<'_>, form: TimeoutForm, yaml: Option<String>) -> Result<Draft> {
    patiently(&app, move |app| {
        let view = app.view();
        draft::from_timeout(&view, app.changes.proposed(&view).as_ref(), form, yaml.as_deref())
    })
    .await
}

#[tauri::command(async)]
pub fn draft_from_yaml(app: Parts<'_>, kind: DraftKind, yaml: String) -> Result<Draft> {
    draft::from_yaml(&app.view(), kind, &yaml)
}
