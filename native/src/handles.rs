//! Samples and trained dictionaries that SQL refers to by number, until they are released, pushed out by newer ones, or the connection
//! closes.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::samples::Samples;
use crate::zstd::Dictionary;

#[derive(Clone)]
pub enum Handle {
    Samples(Rc<Samples>),
    Dictionary(Rc<Dictionary>),
}

impl Handle {
    /// Bytes of memory it takes; the same at any time.
    fn size(&self) -> usize {
        match self {
            Handle::Samples(samples) => samples.size(),
            Handle::Dictionary(dictionary) => dictionary.size(),
        }
    }
}

/// More than so many, or so many bytes, are not kept: the oldest is forgotten.
const MOST: usize = 256;
const MOST_BYTES: usize = 256 << 20;

#[derive(Default)]
pub struct Handles {
    last: i64,
    kept: BTreeMap<i64, Handle>,
    bytes: usize,
}

impl Handles {
    pub fn add(&mut self, handle: Handle) -> i64 {
        self.last += 1;
        self.bytes += handle.size();
        self.kept.insert(self.last, handle);
        while self.kept.len() > MOST || (self.bytes > MOST_BYTES && self.kept.len() > 1) {
            let Some((&oldest, _)) = self.kept.first_key_value() else { break };
            self.remove(oldest);
        }
        self.last
    }

    pub fn remove(&mut self, number: i64) -> Option<Handle> {
        let handle = self.kept.remove(&number)?;
        self.bytes -= handle.size();
        Some(handle)
    }

    /// The number of the newest.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Forgets all that are newer than that one.
    pub fn forget_after(&mut self, number: i64) {
        while let Some((&newest, _)) = self.kept.last_key_value()
            && newest > number
        {
            self.remove(newest);
        }
    }
}

pub fn samples(call: &Call, index: usize) -> Outcome<Rc<Samples>> {
    let number = call.integer(index);
    match call.connection.handles.borrow().kept.get(&number) {
        Some(Handle::Samples(samples)) => Ok(samples.clone()),
        _ => Err(format!("{number} is not a sample of tamp_sample() on this connection").into()),
    }
}

pub fn dictionary(call: &Call, index: usize) -> Outcome<Rc<Dictionary>> {
    let number = call.integer(index);
    match call.connection.handles.borrow().kept.get(&number) {
        Some(Handle::Dictionary(dictionary)) => Ok(dictionary.clone()),
        _ => Err(format!("{number} is not a dictionary of tamp_train() on this connection").into()),
    }
}
