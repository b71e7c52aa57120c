//! How far a log was read.

use k8s_openapi::jiff::Timestamp;

/// How far a pod's log was read; it outlives the stream, so that a pod that is followed again goes on where it was.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// The time of the last line taken.
    last: Option<Timestamp>,
    /// Lines of that time that were taken.
    taken: usize,
    /// Lines of that time that came again since the stream was taken up.
    again: usize,
    /// What comes may have come before.
    resuming: bool,
}

impl Mark {
    /// The stream begins once more: from where. The API server goes by whole seconds, so that what came already comes again.
    pub fn resume(&mut self) -> Option<Timestamp> {
        self.resuming = self.last.is_some();
        self.again = 0;
        self.since()
    }

    /// The second of the last line. kube would round up, and leave out what else was written in it.
    pub fn since(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.last?.as_second()).ok()
    }

    /// True where a line of `stamp` comes and the last one that was taken did not come again: the log does not reach back
    /// to it.
    pub fn misses(&self, stamp: Timestamp) -> bool {
        self.is_lost() && self.last.is_some_and(|last| last < stamp)
    }

    /// True while what was taken last has not come again.
    pub fn is_lost(&self) -> bool {
        self.resuming && self.again < self.taken
    }

    /// Everything from here on is new.
    pub fn go_on(&mut self) {
        self.resuming = false;
    }

    /// True for a line that was not taken yet. In a stream that goes on every line is new, whatever the node's clock does.
    pub fn takes(&mut self, stamp: Timestamp) -> bool {
        if self.resuming {
            match self.last {
                Some(last) if stamp < last => return false,
                Some(last) if stamp == last && self.again < self.taken => {
                    self.again += 1;
                    return false;
                }
                _ => self.resuming = false,
            }
        }
        self.taken = if self.last == Some(stamp) { self.taken + 1 } else { 1 };
        self.last = Some(stamp);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_stream_that_is_taken_up_again_gives_no_line_twice_and_leaves_none_out() {
        let mut mark = Mark::default();
        assert_eq!(mark.resume(), None);
        let took = |mark: &mut Mark, stamps: &[i64]| stamps.iter().filter(|stamp| mark.takes(at(**stamp))).count();
        assert_eq!(
            took(&mut mark, &[10, 11, 11, 12, 12]),
            5,
            "lines of one moment are lines of their own"
        );
        assert_eq!(took(&mut mark, &[5, 6]), 2, "a clock that is set back loses nothing");
        assert_eq!(took(&mut mark, &[7, 7]), 2);
        assert_eq!(mark.resume(), Some(at(0)), "from the beginning of that second");
        assert_eq!(took(&mut mark, &[6, 7, 7]), 0, "what came already");
        assert_eq!(took(&mut mark, &[7, 8, 8]), 3, "and what did not");
    }

    #[test]
    fn a_log_that_does_not_reach_back_to_the_last_line_is_known_by_its_first() {
        let mut mark = Mark::default();
        assert!(!mark.misses(at(1)), "nothing was taken yet");
        assert!(mark.takes(at(5)) && mark.takes(at(5)));
        mark.resume();
        assert!(!mark.misses(at(4)) && !mark.takes(at(4)));
        assert!(!mark.takes(at(5)) && mark.misses(at(6)), "one of two");
        assert!(!mark.takes(at(5)) && !mark.misses(at(6)), "both");
        mark.resume();
        assert!(
            mark.misses(at(6)) && mark.takes(at(6)) && !mark.misses(at(7)),
            "said once"
        );
    }
}
