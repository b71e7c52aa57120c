//! Staged edits, their review, and the journal of what was applied.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{DraftKind, Finding, Mode, Verdict};
use crate::fault::Fault;

/// One edit of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Edit {
    Mode {
        scope: String,
        mode: Mode,
    },
    Put {
        object: DraftKind,
        namespace: String,
        name: String,
        yaml: String,
        /// The file as it was when the object was opened: what changed since is a conflict. Absent for a new object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        base: Option<String>,
    },
    Delete {
        object: DraftKind,
        namespace: String,
        name: String,
    },
    /// What the injector of `revision` says, empty for the default one.
    Ranges {
        revision: String,
        include_ranges: String,
        exclude_ranges: String,
        include_ports: String,
        exclude_ports: String,
    },
    /// A workload's own settings; an absent one is the mesh's.
    Capture {
        namespace: String,
        name: String,
        include_ranges: Option<String>,
        exclude_ranges: Option<String>,
        include_ports: Option<String>,
        exclude_ports: Option<String>,
    },
    /// The access log of the sidecars of `scope`, on until `until` (RFC 3339; for ever without), or off again.
    #[serde(rename = "accessLog")]
    AccessLog {
        scope: String,
        on: bool,
        until: Option<String>,
    },
    /// What mends findings about one object. Only Egret stages it: the change is the finding's.
    Fix {
        object: String,
        namespace: String,
        name: String,
        fixes: Vec<Fix>,
    },
    /// A file becomes what it was before Egret, or goes. Only Egret stages it.
    Restore {
        file: String,
        text: Option<String>,
    },
}

/// What mends one finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Fix {
    /// The finding's code, field and message.
    pub code: String,
    pub field: String,
    pub why: String,
    /// The change in words.
    pub change: String,
    /// JSON pointer of what is set.
    pub path: String,
    /// What it becomes; absent where it is taken away.
    #[ts(type = "unknown")]
    pub value: Option<serde_json::Value>,
}

/// Names a finding that is to be mended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
pub struct FixKey {
    pub code: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub field: String,
}

/// One file, or object, that is not what it was before Egret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct CleanupRow {
    pub file: String,
    /// It goes; else it becomes what it was.
    pub removes: bool,
    /// What Egret did to it.
    pub because: Vec<String>,
    /// Why it cannot be taken back.
    pub kept_because: Option<String>,
}

/// An edit that waits for Apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct StagedEdit {
    pub id: u64,
    pub edit: Edit,
    pub title: String,
    pub at: String,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    Changed,
    Added,
    Deleted,
}

/// What a line of a diff is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
pub enum Sign {
    #[serde(rename = " ")]
    Same,
    #[serde(rename = "+")]
    Added,
    #[serde(rename = "-")]
    Removed,
}

/// One line of a diff with its numbers before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DiffLine {
    pub sign: Sign,
    pub old: Option<usize>,
    pub new: Option<usize>,
    pub text: String,
}

/// Lines that changed, with those around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DiffHunk {
    pub header: String,
    pub lines: Vec<DiffLine>,
}

/// The unified diff of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct FileDiff {
    pub file: String,
    pub state: FileState,
    pub hunks: Vec<DiffHunk>,
    pub command: String,
}

/// Flows to one destination whose verdict changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ImpactRow {
    pub workload: String,
    pub destination: String,
    pub flows: u64,
    pub before: Verdict,
    pub after: Verdict,
    pub before_why: String,
    pub after_why: String,
    pub host: Option<String>,
    pub port: u16,
}

/// What the flows seen so far would meet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    pub seen: u64,
    pub undecidable: u64,
    pub newly_blocked: Vec<ImpactRow>,
    pub newly_allowed: Vec<ImpactRow>,
    pub changed: Vec<ImpactRow>,
    pub same: u64,
}

/// A file that changed on disk since it was staged, three ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Conflict {
    pub file: String,
    pub base: String,
    pub mine: String,
    pub theirs: String,
    /// Who changed it last, and when, where the place knows.
    pub by: Option<String>,
}

/// The tool that manages an object that is about to change, and its own way to make the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct OwnersWay {
    pub file: String,
    /// Its name, with what of it manages the object.
    pub tool: String,
    /// What becomes of a change that is made past it.
    pub effect: String,
    /// What to do instead.
    pub advice: String,
    /// What to run there, or to commit.
    pub text: Option<String>,
}

/// Everything one looks at before Apply.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    pub edits: Vec<StagedEdit>,
    pub diffs: Vec<FileDiff>,
    pub impact: Impact,
    pub findings: Vec<Finding>,
    pub conflicts: Vec<Conflict>,
    /// Who manages the objects, to be asked first.
    pub owners: Vec<OwnersWay>,
    pub warnings: Vec<String>,
    /// A scope has another mode afterwards: that is what locks people out.
    pub changes_mode: bool,
    pub applicable: bool,
    pub blocked_because: Option<String>,
    /// A Role as YAML that would let this person apply them, where permissions are missing.
    pub role: Option<String>,
}

/// The impact as the journal keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ImpactCounts {
    pub newly_blocked: u32,
    pub newly_allowed: u32,
}

/// One applied change set.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    pub id: i64,
    pub at: String,
    pub title: String,
    pub files: Vec<String>,
    pub undone: bool,
    /// It was taken back by itself: nobody confirmed it in time.
    pub reverted: bool,
    /// Files that were left then: another hand had changed them.
    pub kept: Vec<String>,
    /// It waits to be confirmed.
    pub unconfirmed: bool,
    pub undoable: bool,
    pub undo_blocked: Option<String>,
    /// URLs where a test request would meet what was changed.
    pub tries: Vec<String>,
    /// What was done, where no file was written: a restart, a probe. Else what is to be known of it.
    pub notes: Vec<String>,
    /// It was cut short: what each of its files holds now.
    pub cut_short: Option<Vec<FileStands>>,
    pub diffs: Vec<FileDiff>,
    pub impact: ImpactCounts,
}

/// What one file, or object, of a change that was cut short holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct FileStands {
    pub file: String,
    pub holds: Holds,
}

/// A side of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// What it was before.
    Old,
    /// What it becomes.
    New,
    /// Neither.
    Other,
}

/// What becomes of an unconfirmed change where the app is closed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Afterwards {
    /// It is taken back.
    Revert,
    /// The next start asks.
    Ask,
}

/// A change is taken back by itself unless somebody keeps it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
pub struct Countdown {
    pub seconds: u32,
    pub afterwards: Afterwards,
}

/// A change that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Unconfirmed {
    pub id: i64,
    pub title: String,
    /// The folder, or the cluster, where it was applied.
    pub place: String,
    /// It was applied in the source that is open.
    pub here: bool,
    /// When it is taken back, milliseconds since 1970; absent where it waits for an answer.
    pub until: Option<i64>,
    /// Why it could not be taken back; it is tried again.
    pub fault: Option<Fault>,
}

/// What to keep of a file in conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// My edits, made again on the file as it is now.
    Mine,
    /// The file as it is now; my edits to it are dropped.
    Theirs,
}
