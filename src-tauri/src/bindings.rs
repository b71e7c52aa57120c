//! TypeScript for the window's side, written from the definitions in `dto`. The file `ui/src/bridge/bindings.ts` is
//! committed; the test below fails when it is stale, and `EGRET_WRITE_BINDINGS=1 cargo test -p egret bindings`
//! (`make bindings`) writes it.

use std::fmt::Write as _;

use ts_rs::{Config, TS};

use crate::{cluster::Feature, dto, fault::Fault};

/// All types as one TypeScript module.
fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = String::from("// Generated from src-tauri/src/dto; `make bindings` writes it again.\n");
    macro_rules! types {
        ($($kind:ty),* $(,)?) => {$(
            let _ = writeln!(text, "export {}", <$kind as TS>::decl(&config));
        )*};
    }
    types!(
        dto::Verdict,
        dto::Mode,
        dto::Place,
        dto::ObjectRef,
        Fault,
        dto::IgnoredKind,
        dto::LostWatch,
        dto::ClusterState,
        dto::ContextRow,
        dto::KubeconfigRow,
        dto::PluginRow,
        dto::Connecting,
        Feature,
        dto::Right,
        dto::RevisionRow,
        dto::ContextFacts,
        dto::SourceState,
        dto::IstioRelease,
        dto::InWindow,
        dto::ModeScope,
        dto::VerdictCounts,
        dto::Plane,
        dto::NamespaceRow,
        dto::Health,
        dto::DataSource,
        dto::NextAction,
        dto::NextStep,
        dto::Overview,
        dto::CaptureLists,
        dto::RunsWith,
        dto::PodsRow,
        dto::RestartStepState,
        dto::RestartRow,
        dto::RestartState,
        dto::PodsView,
        dto::SyncState,
        dto::OwnRangeRow,
        dto::OwnRangesView,
        dto::WorkloadKey,
        dto::Staged,
        dto::ServicePort,
        dto::ServiceRow,
        dto::TimeoutRow,
        dto::WorkloadOverrides,
        dto::CaptureList,
        dto::InjectorRow,
        dto::BypassView,
        dto::PolicyView,
        dto::KubernetesServiceRow,
        dto::DestinationRuleRow,
        dto::RegistryView,
        dto::GatewayServerRow,
        dto::GatewayRouteRow,
        dto::GatewayRow,
        dto::ObjectText,
        dto::Level,
        dto::Finding,
        dto::FixOffer,
        dto::DraftKind,
        dto::ServiceForm,
        dto::TimeoutForm,
        dto::Draft,
        dto::Edit,
        dto::Fix,
        dto::FixKey,
        dto::StagedEdit,
        dto::FileState,
        dto::Sign,
        dto::DiffLine,
        dto::DiffHunk,
        dto::FileDiff,
        dto::ImpactRow,
        dto::Impact,
        dto::Conflict,
        dto::OwnersWay,
        dto::Review,
        dto::ImpactCounts,
        dto::CleanupRow,
        dto::Holds,
        dto::FileStands,
        dto::JournalEntry,
        dto::Afterwards,
        dto::Countdown,
        dto::Unconfirmed,
        dto::Keep,
        dto::PolicyChoice,
        dto::Takes,
        dto::Phase,
        dto::Way,
        dto::Site,
        dto::Reach,
        dto::SandboxState,
        dto::Expectation,
        dto::ProbeFinding,
        dto::ProbeWays,
        dto::ProbeRow,
        dto::ProbeStep,
        dto::SentBeside,
        dto::RequestResult,
        dto::DeliveryWay,
        dto::DeliveryChoice,
        dto::DeliveryPhase,
        dto::DeliveryState,
        dto::DeployMode,
        dto::DeployPlace,
        dto::DeployWay,
        dto::DeployDns,
        dto::DeployOptions,
        dto::CheckOutcome,
        dto::DeployCheck,
        dto::DeployChecks,
        dto::DeployStepState,
        dto::DeployStep,
        dto::DeployPhase,
        dto::DeployPod,
        dto::DeployState,
        dto::DeployLeft,
        dto::CommandStream,
        dto::CommandEvent,
        dto::Workload,
        dto::Flow,
        dto::Pinned,
        dto::Comparison,
        dto::Through,
        dto::Likeness,
        dto::OtherWay,
        dto::ComparedRow,
        dto::ComparedPage,
        dto::Token,
        dto::FlowDetails,
        dto::ExcerptLine,
        dto::Step,
        dto::Why,
        dto::LogQuery,
        dto::FacetField,
        dto::FacetValue,
        dto::Facet,
        dto::LogPage,
        dto::FlowsAdded,
        dto::DestinationRow,
        dto::FollowedWorkload,
        dto::FollowView,
        dto::SwitchedOn,
        dto::AccessLogView,
        dto::LogSource,
    );
    text
}

#[test]
fn the_committed_bindings_are_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ui/src/bridge/bindings.ts");
    let fresh = typescript();
    if std::env::var_os("EGRET_WRITE_BINDINGS").is_some() {
        std::fs::write(path, &fresh).expect("the bindings file can be written");
    }
    let committed = std::fs::read_to_string(path).expect("the bindings file is there");
    assert!(
        committed == fresh,
        "ui/src/bridge/bindings.ts is stale; run `EGRET_WRITE_BINDINGS=1 cargo test -p egret bindings`"
    );
}
