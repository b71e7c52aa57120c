//! Tells the windows that flows came: not one event a flow, but at most one in each pause.

use std::{io, sync::Arc, thread, time::Duration};

use super::Traffic;
use crate::{
    dto::FlowsAdded,
    events::{Event, Events},
};

/// Long enough that a flood costs little, short enough that a row seems to come at once.
const PAUSE: Duration = Duration::from_millis(25);

/// Announces the rows of `traffic` until it is closed.
pub fn announce(traffic: Arc<Traffic>, events: Events) -> io::Result<()> {
    let announce = move || {
        let mut seen = traffic.last_id();
        while let Some(last) = traffic.await_newer(seen) {
            events.send(Event::FlowsAdded(FlowsAdded {
                last_id: last,
                added: last - seen,
                dropped: traffic.dropped(),
            }));
            seen = last;
            thread::sleep(PAUSE);
        }
    };
    thread::Builder::new()
        .name("flows-added".into())
        .spawn(announce)
        .map(drop)
}
