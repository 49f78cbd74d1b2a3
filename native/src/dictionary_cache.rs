//! The dictionaries that a connection keeps digested, in bounded memory, the longest unused forgotten first.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::rc::Rc;

use crate::api::{self, Api, Db};
use crate::call::{Failure, Outcome};
use crate::connection::Connection;
use crate::memory::copy;
use crate::zstd::{Dictionary, EncoderDictionary, Encoding, Fault, LONGEST_DICTIONARY, TOO_LONG};

/// Memory that digested dictionaries may take; the one in use is kept in any case.
const MEMORY: usize = 48 << 20;
/// Levels that one dictionary is kept digested for.
const LEVELS: usize = 3;

/// What tells one state of a database on this connection from another. It holds within a read transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    version: u32,
    file: *const c_void,
    name: *const c_char,
}

pub struct Entry {
    schema: CString,
    pub dictionary: Rc<Dictionary>,
    pub sha256: Option<String>,
    /// The state of the database in which it was found there; none while it may be rolled back.
    pub found_at: Option<Stamp>,
    encoders: Vec<(i32, Rc<EncoderDictionary>)>,
    pub used: u64,
}

#[derive(Default)]
pub struct Dictionaries {
    entries: HashMap<i64, Vec<Entry>>,
    memory: usize,
    pub clock: u64,
    /// The number in main's `_tamp_scope`, and the state in which it was read.
    pub main_scope: Option<(Stamp, Option<i64>)>,
    /// The last dictionary that was given as a blob.
    given: Option<Given>,
}

struct Given {
    dictionary: Rc<Dictionary>,
    encoder: Option<(i32, Rc<EncoderDictionary>)>,
}

/// None for a database without a file: another may be put in its place, by sqlite3_deserialize(), and look the same. Only the name of a
/// file is a whole path.
pub fn stamp(api: Api, db: *mut Db, schema: &CStr) -> Option<Stamp> {
    let name: *const c_char = unsafe { api.db_filename(db, schema.as_ptr()) };
    if name.is_null() || !unsafe { CStr::from_ptr(name) }.to_bytes().iter().any(|byte| matches!(byte, b'/' | b'\\')) {
        return None;
    }
    let mut version = 0u32;
    let mut file = null_mut::<c_void>();
    unsafe {
        if api.file_control(db, schema.as_ptr(), api::FCNTL_DATA_VERSION, (&raw mut version).cast()) != api::OK {
            return None;
        }
        api.file_control(db, schema.as_ptr(), api::FCNTL_FILE_POINTER, (&raw mut file).cast());
        Some(Stamp { version, file, name })
    }
}

/// A dictionary that was given as a blob; the last one stays digested.
pub fn given(connection: &Connection, bytes: &[u8]) -> Outcome<Rc<Dictionary>> {
    let mut dictionaries = connection.dictionaries.borrow_mut();
    if let Some(given) = &dictionaries.given
        && given.dictionary.bytes() == bytes
    {
        return Ok(given.dictionary.clone());
    }
    let told = |fault: Fault| fault.told(|reason| format!("the dictionary {reason}"));
    if bytes.len() > LONGEST_DICTIONARY {
        return Err(told(Fault::Corrupt(TOO_LONG)));
    }
    // The last one is given up first: two of the largest need not fit.
    dictionaries.given = None;
    let dictionary = Rc::new(Dictionary::new(copy(bytes)?).map_err(told)?);
    dictionaries.given = Some(Given { dictionary: dictionary.clone(), encoder: None });
    Ok(dictionary)
}

/// A dictionary digested for encoding at a level.
pub fn encoding(connection: &Connection, dictionary: &Rc<Dictionary>, level: i32) -> Outcome<Encoding> {
    let digest = || Some(Rc::new(dictionary.encoder(level)?));
    let mut dictionaries = connection.dictionaries.borrow_mut();
    let dictionaries = &mut *dictionaries;
    if let Some(given) = &mut dictionaries.given
        && Rc::ptr_eq(&given.dictionary, dictionary)
    {
        let encoder = match &given.encoder {
            Some((set, encoder)) if *set == level => encoder.clone(),
            _ => digest().ok_or(Failure::NoMemory)?,
        };
        given.encoder = Some((level, encoder.clone()));
        return Ok(Encoding::Dictionary(encoder));
    }
    let entries = dictionaries.entries.values_mut().flatten();
    let Some(entry) = entries.into_iter().find(|entry| Rc::ptr_eq(&entry.dictionary, dictionary)) else {
        return Ok(Encoding::Dictionary(digest().ok_or(Failure::NoMemory)?));
    };
    if let Some((_, encoder)) = entry.encoders.iter().find(|(set, _)| *set == level) {
        return Ok(Encoding::Dictionary(encoder.clone()));
    }
    let encoder = digest().ok_or(Failure::NoMemory)?;
    let forgotten = if entry.encoders.len() < LEVELS { 0 } else { entry.encoders.remove(0).1.size() };
    entry.encoders.push((level, encoder.clone()));
    dictionaries.memory = dictionaries.memory + encoder.size() - forgotten;
    dictionaries.forget_oldest();
    Ok(Encoding::Dictionary(encoder))
}

impl Dictionaries {
    pub fn entry(&mut self, id: i64, schema: &CStr) -> Option<&mut Entry> {
        self.entries.get_mut(&id)?.iter_mut().find(|entry| entry.schema.as_c_str() == schema)
    }

    pub fn keep(
        &mut self,
        id: i64,
        schema: &CStr,
        dictionary: Rc<Dictionary>,
        sha256: Option<String>,
        found_at: Option<Stamp>,
    ) {
        self.forget(id, schema);
        self.memory += dictionary.size();
        let (schema, encoders, used) = (schema.to_owned(), Vec::new(), self.clock);
        self.entries.entry(id).or_default().push(Entry { schema, dictionary, sha256, found_at, encoders, used });
        self.forget_oldest();
    }

    fn forget(&mut self, id: i64, schema: &CStr) {
        let Some(entries) = self.entries.get_mut(&id) else { return };
        let Some(index) = entries.iter().position(|entry| entry.schema.as_c_str() == schema) else { return };
        let entry = entries.swap_remove(index);
        self.memory -= entry.size();
        if entries.is_empty() {
            self.entries.remove(&id);
        }
    }

    fn forget_oldest(&mut self) {
        while self.memory > MEMORY {
            let entries = self.entries.iter().flat_map(|(&id, entries)| entries.iter().map(move |entry| (id, entry)));
            let Some((id, oldest)) = entries.min_by_key(|(_, entry)| entry.used) else { return };
            if oldest.used == self.clock {
                return;
            }
            let schema = oldest.schema.clone();
            self.forget(id, &schema);
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.dictionary.size() + self.encoders.iter().map(|(_, encoder)| encoder.size()).sum::<usize>()
    }
}
