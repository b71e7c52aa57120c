//! The three steps, as they are shown.

use crate::dto::{DeployStep, DeployStepState};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Policy,
    Start,
    Traffic,
}

const ALL: [(Step, &str); 3] = [
    (Step::Policy, "Bring the policy"),
    (Step::Start, "Start the sidecar"),
    (Step::Traffic, "See traffic"),
];

/// None of them begun.
pub fn none_begun() -> Vec<DeployStep> {
    let step = |(_, title): &(Step, &str)| DeployStep {
        title: (*title).into(),
        state: DeployStepState::Waiting,
        text: String::new(),
    };
    ALL.iter().map(step).collect()
}

/// Notes how one stands.
pub fn set(steps: &mut [DeployStep], which: Step, state: DeployStepState, text: impl Into<String>) {
    let index = ALL.iter().position(|(step, _)| *step == which).unwrap_or_default();
    if let Some(step) = steps.get_mut(index) {
        step.state = state;
        step.text = text.into();
    }
}

/// The one that was being done has failed.
pub fn fail(steps: &mut [DeployStep], text: &str) {
    let doing = steps.iter_mut().find(|step| step.state == DeployStepState::Doing);
    if let Some(step) = doing {
        step.state = DeployStepState::Failed;
        step.text = text.into();
    }
}
