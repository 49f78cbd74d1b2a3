//! Statements of this library's own on the connection that called it. Each is finalised before the call returns: one left open would
//! keep the connection from closing.

use std::ffi::{CStr, c_int, c_uint};
use std::ptr::{null, null_mut};

use crate::api::{self, Api, Db, Stmt};
use crate::call::{Failure, Outcome};

pub struct Statement {
    pub api: Api,
    db: *mut Db,
    pub raw: *mut Stmt,
}

impl Statement {
    pub fn new(api: Api, db: *mut Db, sql: &str) -> Outcome<Statement> {
        Statement::prepared(api, db, sql, 0)
    }

    /// One that looks something up in tables of tamp's, which may be anything in somebody else's file: no virtual ones.
    pub fn look_up(api: Api, db: *mut Db, sql: &str) -> Outcome<Statement> {
        Statement::prepared(api, db, sql, api::PREPARE_NO_VTAB)
    }

    fn prepared(api: Api, db: *mut Db, sql: &str, flags: c_uint) -> Outcome<Statement> {
        let mut raw = null_mut();
        let mut tail = null();
        let length = c_int::try_from(sql.len()).map_err(|_| Failure::TooBig)?;
        let code = unsafe { api.prepare_v3(db, sql.as_ptr().cast(), length, flags, &mut raw, &mut tail) };
        let statement = Statement { api, db, raw };
        if code != api::OK { Err(statement.failure()) } else { Ok(statement) }
    }

    /// What went wrong last on the connection.
    pub fn failure(&self) -> Failure {
        failure_of(self.api, self.db)
    }

    pub fn bind_integer(&self, index: c_int, value: i64) -> Outcome {
        self.bound(unsafe { self.api.bind_int64(self.raw, index, value) })
    }

    pub fn bind_real(&self, index: c_int, value: f64) -> Outcome {
        self.bound(unsafe { self.api.bind_double(self.raw, index, value) })
    }

    pub fn bind_null(&self, index: c_int) -> Outcome {
        self.bound(unsafe { self.api.bind_null(self.raw, index) })
    }

    pub fn bind_text(&self, index: c_int, text: &str) -> Outcome {
        let (start, length) = (text.as_ptr().cast(), text.len() as u64);
        self.bound(unsafe { self.api.bind_text64(self.raw, index, start, length, api::TRANSIENT, api::UTF8 as u8) })
    }

    pub fn bind_blob(&self, index: c_int, bytes: &[u8]) -> Outcome {
        // A null pointer would bind NULL, and that of an empty slice is not one.
        let (start, length) = (bytes.as_ptr().cast(), bytes.len() as u64);
        self.bound(unsafe { self.api.bind_blob64(self.raw, index, start, length, api::TRANSIENT) })
    }

    fn bound(&self, code: c_int) -> Outcome {
        if code == api::OK { Ok(()) } else { Err(self.failure()) }
    }

    /// True when there is a row to read.
    pub fn step(&mut self) -> Outcome<bool> {
        if self.raw.is_null() {
            return Ok(false);
        }
        match unsafe { self.api.step(self.raw) } {
            api::ROW => Ok(true),
            api::DONE => Ok(false),
            _ => Err(self.failure()),
        }
    }

    pub fn column_type(&self, column: c_int) -> c_int {
        unsafe { self.api.column_type(self.raw, column) }
    }

    pub fn integer(&self, column: c_int) -> i64 {
        unsafe { self.api.column_int64(self.raw, column) }
    }

    /// The bytes of a text or blob, until the next step.
    pub fn bytes(&self, column: c_int) -> &[u8] {
        unsafe {
            let start: *const u8 = if self.column_type(column) == api::TEXT {
                self.api.column_text(self.raw, column)
            } else {
                self.api.column_blob(self.raw, column).cast()
            };
            let length = self.api.column_bytes(self.raw, column) as usize;
            if start.is_null() || length == 0 { &[] } else { std::slice::from_raw_parts(start, length) }
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        unsafe { self.api.finalize(self.raw) };
    }
}

/// What went wrong last on a connection.
fn failure_of(api: Api, db: *mut Db) -> Failure {
    unsafe {
        let message = CStr::from_ptr(api.errmsg(db)).to_string_lossy().into_owned();
        Failure::Sql(api.extended_errcode(db), message)
    }
}

/// True where the schema has a table of that name. That it cannot be read is an error.
pub fn table_exists(api: Api, db: *mut Db, schema: &CStr, table: &CStr) -> Outcome<bool> {
    let (schema, table) = (schema.as_ptr(), table.as_ptr());
    let (text, number) = (null_mut(), null_mut());
    unsafe {
        if api.table_column_metadata(db, schema, table, null(), text, text, number, number, number) == api::OK {
            return Ok(true);
        }
    }
    match failure_of(api, db) {
        Failure::Sql(api::ERROR, message) if message.starts_with("no such table") => Ok(false),
        failure => Err(failure),
    }
}

/// A schema's name in front of a table's, quoted.
pub fn qualified(schema: &CStr, table: &str) -> String {
    format!("\"{}\".{table}", schema.to_string_lossy().replace('"', "\"\""))
}
