//! Chance that can be had again: a small generator with a seed. FOREMAN_SEED sets the seed, FOREMAN_LONG asks for the
//! long form of the tests that have one.

use std::time::Duration;

/// The seed of a test run, told so that the run can be repeated; the same each time unless FOREMAN_SEED says otherwise.
pub fn seed() -> u64 {
    let seed = match std::env::var("FOREMAN_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("FOREMAN_SEED is a whole number, not {text}")),
        Err(_) => 20_260_714,
    };
    println!("the seed is {seed}: FOREMAN_SEED={seed} runs this again");
    seed
}

/// Whether the long form was asked for.
pub fn in_full() -> bool {
    std::env::var_os("FOREMAN_LONG").is_some_and(|said| !said.is_empty() && said != "0")
}

/// splitmix64: enough for tests, and no dependency.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Up to so many milliseconds.
    pub fn milliseconds(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1000 + 1))
    }
}
