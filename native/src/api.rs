//! The routines of SQLite that this library calls, by their place in the table that SQLite hands to a loadable extension.
//! The table only ever grows at its end, so these places hold for every version from `OLDEST` on; a test compares them with SQLite's
//! header.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};

/// A database connection, a statement, a value, a running function call, an open blob: SQLite's own, never looked into.
pub enum Db {}
pub enum Stmt {}
pub enum Value {}
pub enum Context {}
pub enum Blob {}

pub type Destructor = unsafe extern "C" fn(*mut c_void);
pub type XFunc = unsafe extern "C" fn(*mut Context, c_int, *mut *mut Value);
pub type XFinal = unsafe extern "C" fn(*mut Context);

pub const OK: c_int = 0;
pub const ERROR: c_int = 1;
pub const NOMEM: c_int = 7;
pub const INTERRUPT: c_int = 9;
pub const TOOBIG: c_int = 18;
pub const ROW: c_int = 100;
pub const DONE: c_int = 101;
/// The library stays in the process when the connection that loaded it closes.
pub const OK_LOAD_PERMANENTLY: c_int = 256;

pub const INTEGER: c_int = 1;
pub const FLOAT: c_int = 2;
pub const TEXT: c_int = 3;
pub const BLOB: c_int = 4;
pub const NULL: c_int = 5;

pub const UTF8: c_int = 1;
pub const DETERMINISTIC: c_int = 0x800;
pub const DIRECTONLY: c_int = 0x80000;
pub const INNOCUOUS: c_int = 0x200000;

pub const LIMIT_LENGTH: c_int = 0;
pub const FCNTL_FILE_POINTER: c_int = 7;
pub const FCNTL_DATA_VERSION: c_int = 35;
pub const DBCONFIG_DEFENSIVE: c_int = 1010;
pub const DBCONFIG_WRITABLE_SCHEMA: c_int = 1011;
/// A statement whose text names a virtual table is refused.
pub const PREPARE_NO_VTAB: c_uint = 4;
pub const TXN_READ: c_int = 1;

/// SQLite copies what it is given before the call returns.
pub const TRANSIENT: isize = -1;

/// The oldest SQLite whose table holds every routine below, but for those marked with a version of their own.
pub const OLDEST: c_int = 3_040_000;
/// `is_interrupted` came with this version.
pub const WITH_IS_INTERRUPTED: c_int = 3_041_000;

/// SQLite's table of routines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Api(*const *const c_void);

macro_rules! routines {
    ($($slot:literal $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Api {
            $(
                /// # Safety
                /// As the routine of that name in SQLite's C interface.
                #[inline(always)]
                #[allow(clippy::too_many_arguments, reason = "they are SQLite's")]
                pub unsafe fn $name(self, $($argument: $type),*) $(-> $result)? {
                    type Routine = unsafe extern "C" fn($($type),*) $(-> $result)?;
                    unsafe {
                        let routine: Routine = std::mem::transmute(*self.0.add($slot));
                        routine($($argument),*)
                    }
                }
            )*
        }
    };
}

routines! {
    0 aggregate_context(context: *mut Context, bytes: c_int) -> *mut c_void;
    3 bind_double(statement: *mut Stmt, index: c_int, value: f64) -> c_int;
    5 bind_int64(statement: *mut Stmt, index: c_int, value: i64) -> c_int;
    6 bind_null(statement: *mut Stmt, index: c_int) -> c_int;
    7 bind_parameter_count(statement: *mut Stmt) -> c_int;
    15 changes(db: *mut Db) -> c_int;
    19 column_blob(statement: *mut Stmt, column: c_int) -> *const c_void;
    20 column_bytes(statement: *mut Stmt, column: c_int) -> c_int;
    22 column_count(statement: *mut Stmt) -> c_int;
    27 column_double(statement: *mut Stmt, column: c_int) -> f64;
    29 column_int64(statement: *mut Stmt, column: c_int) -> i64;
    36 column_text(statement: *mut Stmt, column: c_int) -> *const c_uchar;
    38 column_type(statement: *mut Stmt, column: c_int) -> c_int;
    53 errmsg(db: *mut Db) -> *const c_char;
    57 finalize(statement: *mut Stmt) -> c_int;
    58 free(memory: *mut c_void);
    60 get_autocommit(db: *mut Db) -> c_int;
    61 get_auxdata(context: *mut Context, argument: c_int) -> *mut c_void;
    67 libversion_number() -> c_int;
    66 libversion() -> *const c_char;
    83 result_int64(context: *mut Context, value: i64);
    80 result_error(context: *mut Context, message: *const c_char, bytes: c_int);
    89 result_value(context: *mut Context, value: *mut Value);
    92 set_auxdata(context: *mut Context, argument: c_int, data: *mut c_void, destructor: Destructor);
    94 step(statement: *mut Stmt) -> c_int;
    95 table_column_metadata(
        db: *mut Db, schema: *const c_char, table: *const c_char, column: *const c_char, declared: *mut *const c_char,
        collation: *mut *const c_char, not_null: *mut c_int, key: *mut c_int, autoincrement: *mut c_int
    ) -> c_int;
    101 user_data(context: *mut Context) -> *mut c_void;
    102 value_blob(value: *mut Value) -> *const c_void;
    103 value_bytes(value: *mut Value) -> c_int;
    104 value_bytes16(value: *mut Value) -> c_int;
    105 value_double(value: *mut Value) -> f64;
    107 value_int64(value: *mut Value) -> i64;
    109 value_text(value: *mut Value) -> *const c_uchar;
    110 value_text16(value: *mut Value) -> *const c_void;
    113 value_type(value: *mut Value) -> c_int;
    121 blob_bytes(blob: *mut Blob) -> c_int;
    122 blob_close(blob: *mut Blob) -> c_int;
    123 blob_open(
        db: *mut Db, schema: *const c_char, table: *const c_char, column: *const c_char, row: i64, flags: c_int, blob: *mut *mut Blob
    ) -> c_int;
    124 blob_read(blob: *mut Blob, into: *mut c_void, bytes: c_int, offset: c_int) -> c_int;
    127 file_control(db: *mut Db, schema: *const c_char, operation: c_int, argument: *mut c_void) -> c_int;
    137 result_error_nomem(context: *mut Context);
    138 result_error_toobig(context: *mut Context);
    146 result_error_code(context: *mut Context, code: c_int);
    151 limit(db: *mut Db, category: c_int, value: c_int) -> c_int;
    152 next_stmt(db: *mut Db, statement: *mut Stmt) -> *mut Stmt;
    162 create_function_v2(
        db: *mut Db, name: *const c_char, arguments: c_int, flags: c_int, data: *mut c_void, function: Option<XFunc>,
        step: Option<XFunc>, last: Option<XFinal>, destructor: Option<Destructor>
    ) -> c_int;
    166 extended_errcode(db: *mut Db) -> c_int;
    180 db_filename(db: *mut Db, schema: *const c_char) -> *const c_char;
    184 stmt_busy(statement: *mut Stmt) -> c_int;
    185 stmt_readonly(statement: *mut Stmt) -> c_int;
    193 bind_blob64(statement: *mut Stmt, index: c_int, bytes: *const c_void, length: u64, destructor: isize) -> c_int;
    194 bind_text64(statement: *mut Stmt, index: c_int, text: *const c_char, length: u64, destructor: isize, encoding: c_uchar) -> c_int;
    197 malloc64(bytes: u64) -> *mut c_void;
    199 realloc64(memory: *mut c_void, bytes: u64) -> *mut c_void;
    201 result_blob64(context: *mut Context, bytes: *const c_void, length: u64, destructor: isize);
    202 result_text64(context: *mut Context, text: *const c_char, length: u64, destructor: isize, encoding: c_uchar);
    217 prepare_v3(
        db: *mut Db, sql: *const c_char, bytes: c_int, flags: c_uint, statement: *mut *mut Stmt, tail: *mut *const c_char
    ) -> c_int;
    252 txn_state(db: *mut Db, schema: *const c_char) -> c_int;
    264 db_name(db: *mut Db, index: c_int) -> *const c_char;
    265 value_encoding(value: *mut Value) -> c_int;
    266 is_interrupted(db: *mut Db) -> c_int;
}

impl Api {
    /// # Safety
    /// `table` must be what SQLite gave to an extension's entry point.
    pub unsafe fn new(table: *const c_void) -> Api {
        Api(table.cast())
    }

    /// For `Load`, which keeps the table as a plain pointer.
    pub fn as_pointer(self) -> *const c_void {
        self.0.cast()
    }

    /// The routine that frees what `malloc64` gave, in the form in which results are handed over.
    pub fn free_routine(self) -> isize {
        unsafe { *self.0.add(58) as isize }
    }

    /// Switches something about a connection on or off; -1 only asks. Gives how it is then.
    /// # Safety
    /// `db` must be an open connection.
    pub unsafe fn switch(self, db: *mut Db, which: c_int, on: c_int) -> Option<bool> {
        // Variadic in C: the call must be made as one where the two differ.
        type DbConfig = unsafe extern "C" fn(*mut Db, c_int, ...) -> c_int;
        let mut state: c_int = 0;
        unsafe {
            let routine: DbConfig = std::mem::transmute(*self.0.add(163));
            (routine(db, which, on, &mut state as *mut c_int) == OK).then_some(state != 0)
        }
    }
}
