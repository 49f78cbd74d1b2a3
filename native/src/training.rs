//! Dictionaries from samples: zstd's default trainer, and COVER, which takes longer and mostly finds a better one.

use std::ffi::c_uint;

use zstd_sys::*;

use crate::call::Outcome;
use crate::memory::with_room;
use crate::zstd::{LONGEST_DICTIONARY, checked};

/// The smallest dictionary that zstd makes.
const SMALLEST: usize = 256;
/// zstd's default trainer keeps a quarter of the samples for trying, and computes with the bytes of the others less these, unchecked: with
/// fewer it ends the process.
const LEAST_TRAINING_BYTES: usize = 8;
/// Bytes of samples per byte of dictionary: more than that changes little. COVER takes some fourteen bytes of memory, and most of a
/// microsecond, for every byte.
const SAMPLES_RATIO: usize = 100;
const COVER_SAMPLES_RATIO: usize = 30;
const COVER_SAMPLE_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trainer {
    Default,
    Cover,
}

impl Trainer {
    pub fn of(name: &str) -> Option<Trainer> {
        match name {
            "default" => Some(Trainer::Default),
            "cover" => Some(Trainer::Cover),
            _ => None,
        }
    }

    /// Bytes of samples to use for a dictionary of that size, unless told.
    pub fn sample_bytes(self, size: usize) -> usize {
        match self {
            Trainer::Default => size.saturating_mul(SAMPLES_RATIO),
            Trainer::Cover => size.saturating_mul(COVER_SAMPLES_RATIO).min(COVER_SAMPLE_BYTES),
        }
    }
}

/// A dictionary of at most `size` bytes for values like the samples, of which at most `sample_bytes` are used. `level` is the level that
/// it will be used at. A message says why there can be none: too few samples, mostly.
pub fn train(
    trainer: Trainer,
    samples: &[Box<[u8]>],
    size: usize,
    sample_bytes: usize,
    level: i32,
) -> Outcome<Vec<u8>> {
    let (joined, lengths) = joined(samples, sample_bytes)?;
    let (cells, bytes) = (lengths.len(), joined.len());
    let told = |reason: &str| format!("no dictionary can be made from {cells} values of {bytes} bytes: {reason}");
    if lengths[..lengths.len() * 3 / 4].iter().sum::<usize>() < LEAST_TRAINING_BYTES {
        return Err(told("too little to learn from").into());
    }
    // More than the samples themselves is never needed.
    let size = size.min(joined.len()).clamp(SMALLEST, LONGEST_DICTIONARY);
    let mut into = with_room(size)?;
    into.resize(size, 0);
    let code = unsafe {
        let (into, room) = (into.as_mut_ptr().cast(), into.len());
        let (from, count) = (joined.as_ptr().cast(), lengths.len() as c_uint);
        match trainer {
            Trainer::Default => ZDICT_trainFromBuffer(into, room, from, lengths.as_ptr(), count),
            Trainer::Cover => {
                let mut parameters: ZDICT_cover_params_t = std::mem::zeroed();
                (parameters.d, parameters.steps, parameters.nbThreads) = (8, 4, 1);
                parameters.splitPoint = 1.0;
                parameters.zParams.compressionLevel = level;
                ZDICT_optimizeTrainFromBuffer_cover(into, room, from, lengths.as_ptr(), count, &mut parameters)
            }
        }
    };
    into.truncate(checked(code).map_err(|fault| fault.told(told))?);
    Ok(into)
}

/// Samples one after another, as zstd wants them, and their lengths.
fn joined(samples: &[Box<[u8]>], most: usize) -> Outcome<(Vec<u8>, Vec<usize>)> {
    let mut lengths = Vec::new();
    lengths.try_reserve_exact(samples.len())?;
    let mut total = 0;
    for sample in samples {
        if total + sample.len() > most && total > 0 {
            break;
        }
        total += sample.len();
        lengths.push(sample.len());
    }
    let mut joined = with_room(total)?;
    samples[..lengths.len()].iter().for_each(|sample| joined.extend_from_slice(sample));
    Ok((joined, lengths))
}
