//! Which dictionary an argument means, and the dictionaries that one running statement has found: they are looked up and compared with the
//! database once a statement, and kept in SQLite's auxiliary data of the constant fourth argument, which ends with the statement.

use std::ffi::c_void;
use std::fmt;
use std::rc::Rc;

use crate::api;
use crate::call::{Call, Outcome};
use crate::dictionaries::find;
use crate::dictionary_cache::{encoding, given};
use crate::zstd::{Dictionary, Encoding};

/// Dictionaries that one statement holds on to, whatever the connection forgets.
const HELD: usize = 8;
/// The argument that SQLite keeps the dictionaries of a statement with.
const CONSTANT: usize = 3;

/// What a dictionary argument says.
pub enum Choice<'call> {
    None,
    Stored(i64),
    Given(&'call [u8]),
}

impl fmt::Display for Choice<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Choice::None => write!(out, "no dictionary"),
            Choice::Stored(id) => write!(out, "dictionary {id}"),
            Choice::Given(bytes) => write!(out, "a dictionary of {} bytes", bytes.len()),
        }
    }
}

impl<'call> Choice<'call> {
    /// An id, the bytes of a dictionary, or NULL, -1, -2 or no bytes for none.
    #[inline(always)]
    pub fn of(call: &Call<'call>, index: usize) -> Outcome<Choice<'call>> {
        match call.type_of(index) {
            api::INTEGER => Ok(Choice::of_id(call.integer(index))),
            api::NULL => Ok(Choice::None),
            // As sqlite-zstd has it in the row of "no dictionary".
            api::BLOB if call.bytes(index).is_empty() => Ok(Choice::None),
            api::BLOB => Ok(Choice::Given(call.bytes(index))),
            // Some drivers give every number as a real.
            api::FLOAT if call.real(index).fract() == 0.0 => Ok(Choice::of_id(call.integer(index))),
            _ => Err("a dictionary is the id of one in _zstd_dicts, or its bytes as a blob".into()),
        }
    }

    fn of_id(id: i64) -> Choice<'call> {
        if matches!(id, -2 | -1) { Choice::None } else { Choice::Stored(id) }
    }
}

#[derive(Default)]
struct Found {
    last: usize,
    held: [Option<(i64, Rc<Dictionary>)>; HELD],
    encoding: Option<(Rc<Dictionary>, i32, Encoding)>,
}

impl Found {
    unsafe extern "C" fn free(found: *mut c_void) {
        let _ = std::panic::catch_unwind(|| drop(unsafe { Box::from_raw(found.cast::<Found>()) }));
    }

    /// What this statement has found before; none where there is nothing constant to keep it with.
    #[inline(always)]
    fn of<'call>(call: &Call<'call>) -> Option<&'call mut Found> {
        if call.arguments.len() <= CONSTANT {
            return None;
        }
        unsafe { call.api.get_auxdata(call.context, CONSTANT as i32).cast::<Found>().as_mut() }
    }

    fn or_new<'call>(call: &Call<'call>) -> Option<&'call mut Found> {
        if call.arguments.len() > CONSTANT && Found::of(call).is_none() {
            let new = Box::into_raw(Box::<Found>::default());
            // SQLite may drop it at once.
            unsafe { call.api.set_auxdata(call.context, CONSTANT as i32, new.cast(), Found::free) };
        }
        Found::of(call)
    }

    #[inline(always)]
    fn get(&mut self, id: i64) -> Option<&Rc<Dictionary>> {
        let is_it = |held: &Option<(i64, Rc<Dictionary>)>| held.as_ref().is_some_and(|(held, _)| *held == id);
        if !is_it(&self.held[self.last]) {
            self.last = self.held.iter().position(is_it)?;
        }
        self.held[self.last].as_ref().map(|(_, dictionary)| dictionary)
    }

    fn hold(&mut self, id: i64, dictionary: Rc<Dictionary>) {
        if self.held[self.last].is_some() {
            self.last = (self.last + 1) % HELD;
        }
        self.held[self.last] = Some((id, dictionary));
    }
}

/// The dictionary chosen. `scope` is the argument that views pass: which database's dictionaries are meant.
#[inline(always)]
pub fn dictionary(call: &Call, choice: &Choice, scope: i64) -> Outcome<Option<Rc<Dictionary>>> {
    match *choice {
        Choice::None => Ok(None),
        Choice::Given(bytes) => given(call.connection, bytes).map(Some),
        Choice::Stored(id) => match Found::of(call).and_then(|found| found.get(id)) {
            Some(dictionary) => Ok(Some(dictionary.clone())),
            None => first_time(call, id, scope).map(Some),
        },
    }
}

#[cold]
fn first_time(call: &Call, id: i64, scope: i64) -> Outcome<Rc<Dictionary>> {
    let dictionary = find(call.connection, id, scope)?;
    if let Some(found) = Found::or_new(call) {
        found.hold(id, dictionary.clone());
    }
    Ok(dictionary)
}

/// The dictionary, or none, digested for a level.
pub fn encoding_with(call: &Call, dictionary: Option<&Rc<Dictionary>>, level: i32) -> Outcome<Encoding> {
    let Some(dictionary) = dictionary else { return Ok(Encoding::Level(level)) };
    if let Some(Found { encoding: Some((of, at, encoding)), .. }) = Found::of(call)
        && Rc::ptr_eq(of, dictionary)
        && *at == level
    {
        return Ok(encoding.clone());
    }
    let encoding = encoding(call.connection, dictionary, level)?;
    if let Some(found) = Found::or_new(call) {
        found.encoding = Some((dictionary.clone(), level, encoding.clone()));
    }
    Ok(encoding)
}
