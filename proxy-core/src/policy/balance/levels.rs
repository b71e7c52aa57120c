//! How much of the traffic each priority of endpoints gets. Source: Envoy's `LoadBalancerBase`.

/// Envoy's overprovisioning factor: a priority gives traffic away once less than 1/1.4 of it is healthy.
const OVERPROVISIONED: f64 = 1.4;

/// One priority: how many endpoints it has, and how many of them are healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// All endpoints.
    pub all: usize,
    /// Those that are not ejected.
    pub healthy: usize,
}

/// What a priority gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Of all traffic, in percent.
    pub percent: u32,
    /// So few are healthy that all are called.
    pub panics: bool,
}

impl Health {
    fn percent(self) -> u32 {
        match self.all {
            0 => 0,
            all => (100.0 * OVERPROVISIONED * self.healthy as f64 / all as f64).min(100.0) as u32,
        }
    }

    fn panics(self, threshold: u32) -> bool {
        let percent = if self.all == 0 {
            0.0
        } else {
            100.0 * self.healthy as f64 / self.all as f64
        };
        percent < f64::from(threshold)
    }
}

/// The loads of priorities in their order, which sum up to 100. `threshold` is the percentage of healthy endpoints below
/// which a priority panics; 0 is never.
pub fn loads(levels: &[Health], threshold: u32) -> Vec<Load> {
    let mut loads = vec![Load::default(); levels.len()];
    let available: u32 = levels.iter().map(|level| level.percent()).sum::<u32>().min(100);
    let mut left = 100;
    for (level, load) in levels.iter().zip(&mut loads).filter(|_| available > 0) {
        load.percent = left.min(level.percent() * 100 / available);
        left -= load.percent;
    }
    // What rounding left over.
    if available > 0
        && let Some(first) = loads.iter_mut().find(|load| load.percent > 0)
    {
        first.percent += left;
    }
    if available == 0 && threshold == 0 {
        // Nobody is there to be called; the sum must be right all the same.
        if let Some(first) = loads.first_mut() {
            first.percent = 100;
        }
        return loads;
    }
    for (level, load) in levels.iter().zip(&mut loads) {
        load.panics = available < 100 && level.panics(threshold);
    }
    if loads.iter().all(|load| load.panics) {
        by_size(levels, &mut loads);
    }
    loads
}

/// Where all priorities panic, each gets what its size is worth.
fn by_size(levels: &[Health], loads: &mut [Load]) {
    let all: usize = levels.iter().map(|level| level.all).sum();
    let mut left = 100;
    for (level, load) in levels.iter().zip(&mut *loads) {
        load.percent = (level.all * 100).checked_div(all).unwrap_or_default() as u32;
        left -= load.percent;
    }
    let first = levels.iter().position(|level| level.all > 0).unwrap_or_default();
    if let Some(load) = loads.get_mut(first) {
        load.percent += left;
    }
}

/// The weight of a locality of which only some endpoints are healthy.
pub fn locality_weight(weight: u32, health: Health) -> f64 {
    let healthy = match health.all {
        0 => 0.0,
        all => health.healthy as f64 / all as f64,
    };
    f64::from(weight) * (OVERPROVISIONED * healthy).min(1.0)
}
