//! Who watches a decision being made.

use serde::Serialize;

use crate::model::ObjectRef;

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `capture`, `listener`, `chain`, `virtual_host`, `route`, `rule`, `cluster`, `endpoint`, or what a route does
    /// beside forwarding: `fault`, `cors`, `headers`, `rewrite`, `mirror`.
    pub step: &'static str,
    /// What came out of it, in words a platform engineer uses.
    pub outcome: String,
    /// The object behind it, where there is one.
    pub object: Option<ObjectRef>,
}

/// Watches the steps of a decision. The silent witness `()` compiles to nothing, so that deciding stays free of
/// allocation; a `Vec<Step>` records.
pub trait Witness {
    /// Called at each step; only a recording witness runs `step`.
    fn saw(&mut self, step: impl FnOnce() -> Step);
    /// The same for several steps at once.
    fn saw_all(&mut self, steps: impl FnOnce() -> Vec<Step>);
}

impl Witness for () {
    #[inline(always)]
    fn saw(&mut self, _: impl FnOnce() -> Step) {}
    #[inline(always)]
    fn saw_all(&mut self, _: impl FnOnce() -> Vec<Step>) {}
}

impl Witness for Vec<Step> {
    fn saw(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }

    fn saw_all(&mut self, steps: impl FnOnce() -> Vec<Step>) {
        self.extend(steps());
    }
}
