//! Chance that is the same in each run.

use super::client;

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

    /// Up to 200 bytes, half of the time as one frame with what may be a text.
    pub fn frame(&mut self) -> Vec<u8> {
        let length = self.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
        if self.below(2) == 0 {
            return bytes;
        }
        client::frame([0x81, 0x82, 0x01, 0x80, 0x89, 0x88][self.below(6) as usize], &bytes)
    }
}
