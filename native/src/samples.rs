//! A uniform sample of the values that an aggregate sees, in bounded memory: every value draws a number, the smallest numbers stay.

use std::collections::{BinaryHeap, TryReserveError};

use crate::memory::copy;

/// A longer value is cut: a dictionary is used within zstd's first block.
const LONGEST: usize = 128 << 10;
/// One of so many is held back from training, to try dictionaries on.
const HELD_BACK: usize = 5;

/// What a value takes besides its bytes, in the heap and as an allocation of its own.
const OVERHEAD: usize = 48;
/// Memory that counts for nothing.
const LEAST_MEMORY: usize = 4 << 20;

struct Sample {
    draw: u64,
    bytes: Box<[u8]>,
}

impl PartialEq for Sample {
    fn eq(&self, other: &Sample) -> bool {
        self.draw == other.draw
    }
}

impl Eq for Sample {}

impl PartialOrd for Sample {
    fn partial_cmp(&self, other: &Sample) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sample {
    fn cmp(&self, other: &Sample) -> std::cmp::Ordering {
        self.draw.cmp(&other.draw)
    }
}

/// A sample while rows come in.
pub struct Sampling {
    kept: BinaryHeap<Sample>,
    bytes: usize,
    max_bytes: usize,
    max_cells: usize,
    /// Draws from here on have been turned away, and will be.
    threshold: u64,
    random: u64,
    pub seen_cells: u64,
    pub seen_bytes: u64,
}

impl Sampling {
    pub fn new(max_cells: usize, max_bytes: usize) -> Sampling {
        Sampling {
            kept: BinaryHeap::new(),
            bytes: 0,
            max_bytes,
            max_cells,
            threshold: u64::MAX,
            // The same rows give the same sample.
            random: 0x9e37_79b9_7f4a_7c15,
            seen_cells: 0,
            seen_bytes: 0,
        }
    }

    /// A value of no bytes is passed over.
    pub fn offer(&mut self, value: &[u8]) -> Result<(), TryReserveError> {
        if value.is_empty() {
            return Ok(());
        }
        self.seen_cells += 1;
        self.seen_bytes += value.len() as u64;
        let draw = self.draw();
        if draw >= self.threshold {
            return Ok(());
        }
        let sample = Sample { draw, bytes: copy(&value[..value.len().min(LONGEST)])?.into_boxed_slice() };
        self.kept.try_reserve(1)?;
        self.bytes += sample.bytes.len();
        self.kept.push(sample);
        while self.kept.len() > self.max_cells || (self.is_full() && self.kept.len() > 1) {
            let Some(turned_away) = self.kept.pop() else { break };
            self.bytes -= turned_away.bytes.len();
            self.threshold = turned_away.draw;
        }
        Ok(())
    }

    /// The memory that short values take beyond their bytes counts where it is more than the bytes.
    fn is_full(&self) -> bool {
        let memory = self.bytes + self.kept.len() * OVERHEAD;
        self.bytes > self.max_bytes || memory > self.max_bytes.saturating_mul(2).saturating_add(LEAST_MEMORY)
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn finish(self) -> Result<Samples, TryReserveError> {
        let (seen_cells, seen_bytes) = (self.seen_cells, self.seen_bytes);
        let mut samples = Samples { training: Vec::new(), held_back: Vec::new(), seen_cells, seen_bytes };
        let held_back = self.kept.len() / HELD_BACK;
        samples.held_back.try_reserve_exact(held_back)?;
        samples.training.try_reserve_exact(self.kept.len() - held_back)?;
        for (index, sample) in self.kept.into_sorted_vec().into_iter().enumerate() {
            let part = if (index + 1) % HELD_BACK == 0 { &mut samples.held_back } else { &mut samples.training };
            part.push(sample.bytes);
        }
        Ok(samples)
    }

    /// All of the sample, in random order.
    pub fn into_all(self) -> Result<Vec<Box<[u8]>>, TryReserveError> {
        let mut all = Vec::new();
        all.try_reserve_exact(self.kept.len())?;
        all.extend(self.kept.into_sorted_vec().into_iter().map(|sample| sample.bytes));
        Ok(all)
    }
}

/// A finished sample, in random order.
pub struct Samples {
    pub training: Vec<Box<[u8]>>,
    pub held_back: Vec<Box<[u8]>>,
    pub seen_cells: u64,
    pub seen_bytes: u64,
}

impl Samples {
    /// Bytes of memory it takes.
    pub fn size(&self) -> usize {
        let cells = self.training.len() + self.held_back.len();
        bytes_of(&self.training) + bytes_of(&self.held_back) + cells * OVERHEAD
    }
}

pub fn bytes_of(cells: &[Box<[u8]>]) -> usize {
    cells.iter().map(|cell| cell.len()).sum()
}
