//! Outlier detection: which endpoint has failed so often that it is left out, and when it may return. Without sockets and
//! clock. Source: Envoy's `DetectorImpl`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::policy::Outlier;

/// What came of a call to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It answered with a status.
    Answered(u16),
    /// A stream to it is open.
    Connected,
    /// It could not be reached, or broke off.
    Failed,
    /// It took too long.
    TimedOut,
}

/// Failures in a row of one endpoint, counted by all workers.
#[derive(Debug, Default)]
pub(super) struct Streaks {
    errors: AtomicU32,
    gateway_errors: AtomicU32,
    local: AtomicU32,
}

impl Streaks {
    /// Counts; true where a count is full, which is then begun anew.
    pub fn count(&self, outcome: Outcome, settings: &Outlier) -> bool {
        let reached = |streak: &AtomicU32, limit: u32| {
            // Another policy may have set a limit that is passed already.
            let full = limit != 0 && streak.fetch_add(1, Ordering::AcqRel) + 1 >= limit;
            if full {
                streak.store(0, Ordering::Release);
            }
            full
        };
        if let Some(limit) = settings.consecutive_local {
            match outcome {
                Outcome::Failed | Outcome::TimedOut => return reached(&self.local, limit),
                Outcome::Connected | Outcome::Answered(_) => self.local.store(0, Ordering::Release),
            }
        }
        let status = match outcome {
            Outcome::Answered(status) => status,
            // Apart from failures to reach it, nothing is known of a stream.
            Outcome::Connected if settings.consecutive_local.is_some() => return false,
            Outcome::Connected => 200,
            Outcome::Failed => 503,
            Outcome::TimedOut => 504,
        };
        if !(500..600).contains(&status) {
            self.errors.store(0, Ordering::Release);
            self.gateway_errors.store(0, Ordering::Release);
            return false;
        }
        let gateway = match status {
            502..=504 => reached(&self.gateway_errors, settings.consecutive_gateway),
            _ => {
                self.gateway_errors.store(0, Ordering::Release);
                false
            }
        };
        reached(&self.errors, settings.consecutive_5xx) || gateway
    }

    /// What was counted is forgotten: for who returns.
    pub fn reset(&self) {
        for streak in [&self.errors, &self.gateway_errors, &self.local] {
            streak.store(0, Ordering::Release);
        }
    }
}

/// The ejections of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ejection {
    /// When it was ejected, where it is.
    pub since: Option<Duration>,
    /// How often, less the times that it was found well.
    pub times: u32,
}

impl Ejection {
    /// Ejects it at `now`. Another one of `ejected` so far among `all` must not be too many.
    pub fn eject(&mut self, settings: &Outlier, now: Duration, ejected: usize, all: usize) -> bool {
        let share = 100.0 * (ejected + 1) as f64 / all.max(1) as f64;
        if self.since.is_some() || share > f64::from(settings.max_percent) {
            return false;
        }
        self.since = Some(now);
        if settings.base_time * self.times < settings.max_time + settings.base_time {
            self.times += 1;
        }
        true
    }

    /// One of the looks that are taken at each interval: true where it returns with this one.
    pub fn look(&mut self, settings: &Outlier, now: Duration) -> bool {
        let Some(since) = self.since else {
            self.times = self.times.saturating_sub(1);
            return false;
        };
        let over = (settings.base_time * self.times).min(settings.max_time) <= now.saturating_sub(since);
        if over {
            self.since = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: Outlier = Outlier {
        consecutive_5xx: 3,
        consecutive_gateway: 2,
        consecutive_local: None,
        interval: Duration::from_secs(10),
        base_time: Duration::from_secs(30),
        max_time: Duration::from_secs(300),
        max_percent: 50,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The place of the first outcome that is one too many.
    fn full_at(settings: &Outlier, outcomes: &[Outcome]) -> Option<usize> {
        let streaks = Streaks::default();
        outcomes.iter().position(|outcome| streaks.count(*outcome, settings))
    }

    #[test]
    fn errors_in_a_row_are_counted_apart_from_those_of_gateways() {
        use Outcome::{Answered, Connected, Failed, TimedOut};
        let split = Outlier {
            consecutive_local: Some(2),
            ..SETTINGS
        };
        let never = Outlier {
            consecutive_5xx: 0,
            consecutive_gateway: 0,
            ..SETTINGS
        };
        let cases: [(&Outlier, &[Outcome], Option<usize>); 11] = [
            (&SETTINGS, &[Answered(500), Answered(501), Answered(500)], Some(2)),
            (
                &SETTINGS,
                &[Answered(500), Answered(200), Answered(500), Answered(500)],
                None,
            ),
            (&SETTINGS, &[Answered(503), Answered(502)], Some(1)),
            (&SETTINGS, &[Answered(503), Answered(500), Answered(504)], Some(2)),
            (&SETTINGS, &[Failed, TimedOut], Some(1)),
            (&SETTINGS, &[Failed, Connected, Failed], None),
            (&SETTINGS, &[Answered(404), Answered(499), Answered(429)], None),
            (&split, &[Failed, Failed], Some(1)),
            (&split, &[Failed, Connected, TimedOut, Connected, Failed], None),
            (&split, &[Failed, Answered(503), Failed, Answered(502)], Some(3)),
            (&never, &[Answered(500), Failed, Failed, Failed, Failed, Failed], None),
        ];
        for (settings, outcomes, expected) in cases {
            assert_eq!(full_at(settings, outcomes), expected, "{outcomes:?} with {settings:?}");
        }
    }

    #[test]
    fn a_limit_that_is_lowered_below_the_count_is_full_with_the_next_failure() {
        let lax = Outlier {
            consecutive_5xx: 5,
            ..SETTINGS
        };
        let streaks = Streaks::default();
        assert!((0..4).all(|_| !streaks.count(Outcome::Answered(500), &lax)));
        assert!(streaks.count(Outcome::Answered(500), &SETTINGS));
        assert!(!streaks.count(Outcome::Answered(500), &SETTINGS), "it is begun anew");
    }

    #[test]
    fn no_more_than_a_part_is_ejected() {
        for (percent, ejected, all, expected) in [
            (10, 0, 1, false),
            (10, 0, 9, false),
            (10, 0, 10, true),
            (10, 1, 10, false),
            (100, 0, 1, true),
            (50, 0, 3, true),
            (50, 1, 3, false),
        ] {
            let settings = Outlier {
                max_percent: percent,
                ..SETTINGS
            };
            let done = Ejection::default().eject(&settings, at(0), ejected, all);
            assert_eq!(done, expected, "{ejected} of {all} are out, {percent} % may be");
        }
    }

    #[test]
    fn each_ejection_lasts_longer_and_good_times_make_the_next_shorter() {
        let mut ejection = Ejection::default();
        assert!(ejection.eject(&SETTINGS, at(0), 0, 2));
        assert!(!ejection.eject(&SETTINGS, at(1), 0, 2), "it is out already");
        assert!(!ejection.look(&SETTINGS, at(29)) && ejection.look(&SETTINGS, at(30)));
        assert!(ejection.eject(&SETTINGS, at(40), 0, 2));
        assert!(!ejection.look(&SETTINGS, at(99)) && ejection.look(&SETTINGS, at(100)));
        // Two looks at who is well take both times back.
        assert!(!ejection.look(&SETTINGS, at(110)) && !ejection.look(&SETTINGS, at(120)));
        assert_eq!(ejection, Ejection::default());
    }

    proptest! {
        #[test]
        fn nobody_is_out_for_longer_than_the_longest_time(ejections in 1u32..40) {
            let mut ejection = Ejection::default();
            let mut now = at(0);
            for _ in 0..ejections {
                prop_assert!(ejection.eject(&SETTINGS, now, 0, 2));
                now += SETTINGS.max_time;
                prop_assert!(ejection.look(&SETTINGS, now));
            }
        }
    }
}
