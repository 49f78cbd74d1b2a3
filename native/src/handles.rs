//! Samples and trained dictionaries that SQL refers to by number, until they are released or the connection closes.

use std::collections::HashMap;
use std::rc::Rc;

use crate::call::{Call, Outcome};
use crate::samples::Samples;
use crate::zstd::Dictionary;

#[derive(Clone)]
pub enum Handle {
    Samples(Rc<Samples>),
    Dictionary(Rc<Dictionary>),
}

#[derive(Default)]
pub struct Handles {
    last: i64,
    kept: HashMap<i64, Handle>,
}

impl Handles {
    pub fn add(&mut self, handle: Handle) -> i64 {
        self.last += 1;
        self.kept.insert(self.last, handle);
        self.last
    }

    pub fn remove(&mut self, number: i64) -> Option<Handle> {
        self.kept.remove(&number)
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
