//! The dictionaries that a connection keeps digested, in bounded memory, the longest unused forgotten first.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::rc::Rc;

use crate::api::{self, Api, Db};
use crate::call::{Failure, Outcome};
use crate::connection::Connection;
use crate::zstd::{Dictionary, EncoderDictionary, Encoding};

/// Memory that digested dictionaries may take; the one in use is kept in any case.
const MEMORY: usize = 48 << 20;
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

pub fn stamp(api: Api, db: *mut Db, schema: &CStr) -> Option<Stamp> {
    let mut version = 0u32;
    let mut file = null_mut::<c_void>();
    unsafe {
        if api.file_control(db, schema.as_ptr(), api::FCNTL_DATA_VERSION, (&raw mut version).cast()) != api::OK {
            return None;
        }
        api.file_control(db, schema.as_ptr(), api::FCNTL_FILE_POINTER, (&raw mut file).cast());
        Some(Stamp { version, file, name: api.db_filename(db, schema.as_ptr()).cast() })
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
    let dictionary = Rc::new(Dictionary::new(bytes).ok_or("the dictionary is damaged, or empty")?);
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
    entry.encoders.push((level, encoder.clone()));
    dictionaries.memory += encoder.size();
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
