//! Chance that is the same in each run.

/// Numbers that look random and are the same in each run (Marsaglia's xorshift).
pub struct Dice(pub u64);

impl Dice {
    /// A number from 0 up to `bound`, which is not among them.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
