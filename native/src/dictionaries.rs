//! The dictionaries of a connection, by id: looked up in the database, or in the attached ones. A kept one is used only as long as the
//! database still has it: what a rolled-back transaction made, or another database that took the name of a detached one, is never mistaken
//! for it.

use std::ffi::{CStr, CString};
use std::ptr::null_mut;
use std::rc::Rc;

use crate::api::{self, Api, Blob, Db};
use crate::call::{Failure, Outcome};
use crate::connection::Connection;
use crate::dictionary_cache::{Stamp, stamp};
use crate::log::{Level, log};
use crate::memory::copy;
use crate::sha256::sha256_hex;
use crate::sql::{Statement, qualified, table_exists};
use crate::zstd::{Dictionary, Fault, LONGEST_DICTIONARY, MAGIC, TOO_LONG};

const HEAD: usize = 1024;

const MAIN: &CStr = c"main";

/// All schemas but temp, main first.
fn schemas(api: Api, db: *mut Db) -> Vec<CString> {
    (0..)
        .map(|index| unsafe { api.db_name(db, index) })
        .take_while(|name| !name.is_null())
        .map(|name| unsafe { CStr::from_ptr(name) }.to_owned())
        .enumerate()
        .filter(|&(index, _)| index != 1)
        .map(|(_, name)| name)
        .collect()
}

fn scope_of(api: Api, db: *mut Db, schema: &CStr) -> Outcome<Option<i64>> {
    if !table_exists(api, db, schema, c"_tamp_scope")? {
        return Ok(None);
    }
    let sql = format!("SELECT scope FROM {}", qualified(schema, "_tamp_scope"));
    let mut statement = match Statement::look_up(api, db, &sql) {
        Ok(statement) => statement,
        // A table of that name that is not tamp's.
        Err(Failure::Sql(api::ERROR, _)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(if statement.step()? { Some(statement.integer(0)) } else { None })
}

/// Says, until it is dropped, that a dictionary is being looked for.
struct Looking<'connection>(&'connection Connection);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.looking.set(false);
    }
}

/// The dictionary of that id. `scope` is what the views pass: the number of the database that the cell is in, or 0 or 1 where that is
/// unknown.
pub fn find(connection: &Connection, id: i64, scope: i64) -> Outcome<Rc<Dictionary>> {
    // The tables may be anything in somebody else's file, generated columns that decode cells for one: that would go on without end.
    if connection.looking.replace(true) {
        return Err("a dictionary is needed to read the dictionaries".into());
    }
    let _looking = Looking(connection);
    find_anywhere(connection, id, scope)
}

fn find_anywhere(connection: &Connection, id: i64, scope: i64) -> Outcome<Rc<Dictionary>> {
    let Connection { api, db, .. } = *connection;
    if unsafe { api.db_name(db, 2) }.is_null() {
        return find_in_main(connection, id, scope);
    }
    let mut found: Option<(Rc<Dictionary>, CString)> = None;
    let mut in_scope = 0;
    // A database that cannot be read, locked for one, matters only where the scope may be its.
    let mut unread = None;
    for schema in schemas(api, db) {
        if scope > 1 {
            match scope_of(api, db, &schema) {
                Ok(Some(number)) if number == scope => {}
                Ok(_) => continue,
                Err(failure) => {
                    unread.get_or_insert(failure);
                    continue;
                }
            }
        }
        in_scope += 1;
        let Some(dictionary) = current(connection, &schema, id, None)? else { continue };
        if let Some((other, elsewhere)) = &found
            && other.bytes() != dictionary.bytes()
        {
            let (one, two) = (elsewhere.to_string_lossy(), schema.to_string_lossy());
            return Err(format!("the databases {one} and {two} have different dictionaries {id}; detach one").into());
        }
        found.get_or_insert((dictionary, schema));
    }
    match found {
        Some((dictionary, _)) => Ok(dictionary),
        None if in_scope == 0 => Err(unread.unwrap_or_else(|| no_scope(scope))),
        None => Err(missing(id)),
    }
}

/// As `find`, for a connection without attached databases: all by itself when nothing changed.
fn find_in_main(connection: &Connection, id: i64, scope: i64) -> Outcome<Rc<Dictionary>> {
    let Connection { api, db, .. } = *connection;
    let now = if is_settled(connection, MAIN) { stamp(api, db, MAIN) } else { None };
    if scope > 1 {
        let known = connection.dictionaries.borrow().main_scope.filter(|&(at, _)| Some(at) == now);
        let number = match known {
            Some((_, number)) => number,
            None => {
                let number = scope_of(api, db, MAIN)?;
                connection.dictionaries.borrow_mut().main_scope = now.map(|at| (at, number));
                number
            }
        };
        if number != Some(scope) {
            return Err(no_scope(scope));
        }
    }
    current(connection, MAIN, id, now)?.ok_or_else(|| missing(id))
}

fn missing(id: i64) -> Failure {
    format!("there is no dictionary {id} in _zstd_dicts").into()
}

fn no_scope(scope: i64) -> Failure {
    format!("the database with the dictionaries of scope {scope} is not attached").into()
}

/// True while the schema is being read, and not written. What was found outside of a transaction may be gone a moment later; one that
/// writes may have changed what was found before, whose stamp only moves when it commits, and what is found in it may be rolled back:
/// it is looked for again every time.
fn is_settled(connection: &Connection, schema: &CStr) -> bool {
    unsafe { connection.api.txn_state(connection.db, schema.as_ptr()) == api::TXN_READ }
}

/// The dictionary as the schema has it now. A kept one found at `now` needs no second look.
fn current(connection: &Connection, schema: &CStr, id: i64, now: Option<Stamp>) -> Outcome<Option<Rc<Dictionary>>> {
    let mut kept = None;
    {
        let mut dictionaries = connection.dictionaries.borrow_mut();
        dictionaries.clock += 1;
        let clock = dictionaries.clock;
        if let Some(entry) = dictionaries.entry(id, schema) {
            entry.used = clock;
            if now.is_some() && entry.found_at == now {
                return Ok(Some(entry.dictionary.clone()));
            }
            kept = Some((entry.dictionary.clone(), entry.sha256.clone()));
        }
    }
    if !table_exists(connection.api, connection.db, schema, c"_zstd_dicts")? {
        return Ok(None);
    }
    let hash = stored_hash(connection, schema, id)?;
    if let Some((dictionary, sha256)) = kept
        && hash == sha256
        && is_stored(connection, schema, id, dictionary.bytes(), hash.is_some())?
    {
        if let Some(entry) = connection.dictionaries.borrow_mut().entry(id, schema) {
            entry.found_at = now;
        }
        return Ok(Some(dictionary));
    }
    let Some(bytes) = stored_bytes(connection, schema, id)? else { return Ok(None) };
    if hash.as_ref().is_some_and(|hash| *hash != sha256_hex(&bytes)) {
        return Err(format!("dictionary {id} is not what it was: its bytes do not match their hash").into());
    }
    let told = |fault: Fault| fault.told(|reason| format!("dictionary {id} {reason}"));
    let dictionary = Rc::new(Dictionary::new(bytes).map_err(told)?);
    log(Level::Debug, || format!("dictionary {id}: {} bytes loaded", dictionary.bytes().len()));
    connection.dictionaries.borrow_mut().keep(id, schema, dictionary.clone(), hash, now);
    Ok(Some(dictionary))
}

fn stored_hash(connection: &Connection, schema: &CStr, id: i64) -> Outcome<Option<String>> {
    let Connection { api, db, .. } = *connection;
    if !table_exists(api, db, schema, c"_tamp_dicts")? {
        return Ok(None);
    }
    let sql = format!("SELECT sha256 FROM {} WHERE id = ?", qualified(schema, "_tamp_dicts"));
    let mut statement = Statement::look_up(api, db, &sql)?;
    statement.bind_integer(1, id)?;
    Ok(statement.step()?.then(|| String::from_utf8_lossy(statement.bytes(0)).into_owned()))
}

fn stored_bytes(connection: &Connection, schema: &CStr, id: i64) -> Outcome<Option<Vec<u8>>> {
    let sql = format!("SELECT dict FROM {} WHERE id = ?", qualified(schema, "_zstd_dicts"));
    let mut statement = Statement::look_up(connection.api, connection.db, &sql)?;
    statement.bind_integer(1, id)?;
    if !statement.step()? {
        return Ok(None);
    }
    let bytes = statement.bytes(0);
    if bytes.len() > LONGEST_DICTIONARY {
        return Err(format!("dictionary {id} {TOO_LONG}").into());
    }
    Ok(Some(copy(bytes)?))
}

/// True when the stored dictionary is this one. Where its hash was compared, or where it begins with numbers made from all its bytes, its
/// length and beginning are enough: reading a dictionary of a megabyte after every commit would cost more than the queries in between.
fn is_stored(connection: &Connection, schema: &CStr, id: i64, bytes: &[u8], hashed: bool) -> Outcome<bool> {
    let api = connection.api;
    let mut blob = null_mut::<Blob>();
    unsafe {
        let (table, column) = (c"_zstd_dicts".as_ptr(), c"dict".as_ptr());
        let opened = api.blob_open(connection.db, schema.as_ptr(), table, column, id, 0, &mut blob);
        if opened != api::OK {
            return Ok(false);
        }
        let mut head = [0u8; HEAD];
        let length = api.blob_bytes(blob) as usize;
        let head = &mut head[..length.min(HEAD)];
        let read = api.blob_read(blob, head.as_mut_ptr().cast(), head.len() as i32, 0);
        api.blob_close(blob);
        if read != api::OK || length != bytes.len() || !bytes.starts_with(head) {
            return Ok(false);
        }
    }
    Ok(hashed
        || bytes.starts_with(&MAGIC)
        || stored_bytes(connection, schema, id)?.is_some_and(|stored| stored == bytes))
}
