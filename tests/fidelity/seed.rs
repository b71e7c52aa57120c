//! Random choices that are the same for the same seed on every machine.

/// SplitMix64: small, good enough for choices, and no dependency whose next version draws otherwise.
pub struct Seed(u64);

impl Seed {
    /// The choices of world `number` under `seed`: each world is drawn apart, so that any one can be drawn again alone.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut own = Self(seed);
        Self(own.next() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `times` on average.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `items`, which are not none.
    pub fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    /// One of `texts`.
    pub fn text(&mut self, texts: &[&str]) -> String {
        (*self.pick(texts)).to_string()
    }

    /// `count` of `texts`, each at most once, in any order.
    pub fn texts(&mut self, texts: &[&str], count: usize) -> Vec<String> {
        let mut left = texts.to_vec();
        let count = count.min(left.len());
        (0..count)
            .map(|_| left.swap_remove(self.below(left.len())).to_string())
            .collect()
    }
}
