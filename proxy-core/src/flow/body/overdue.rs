//! The end of an answer's time where nobody asks for more of it: hyper reads no body while its caller takes nothing.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::{self, AbortHandle},
    time,
};

use super::Deadline;

/// How long what is on its way may take to leave when the time is over.
const LEAVING: Duration = Duration::from_millis(100);

/// Watches over an answer's time for as long as it lives.
#[derive(Debug)]
pub(super) struct Overdue {
    state: Rc<State>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    over: Cell<bool>,
    /// Who waits for more of the answer.
    reader: RefCell<Option<Waker>>,
}

impl Overdue {
    /// Where the answer has not ended by `deadline`, and its reader does not see to that, the caller's connection is told to
    /// end through `ends`. One that carries other requests is not: there the answer ends with the reader's next look.
    pub fn watch(deadline: Deadline, ends: Option<Rc<Notify>>) -> Self {
        let state = Rc::<State>::default();
        let watched = state.clone();
        let watching = task::spawn_local(async move {
            deadline.await;
            watched.over.set(true);
            if let Some(reader) = watched.reader.take() {
                reader.wake();
            }
            if let Some(ends) = ends {
                time::sleep(LEAVING).await;
                ends.notify_one();
            }
        });
        Self {
            state,
            task: watching.abort_handle(),
        }
    }

    pub fn is_over(&self) -> bool {
        self.state.over.get()
    }

    /// Waits until it is over.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        self.state.reader.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.task.abort();
    }
}
