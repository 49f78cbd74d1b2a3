//! tamp's loadable extension for SQLite: rows in zstd frames with dictionaries, behind the table's own name.
//! The data plane is here; what to create, train and compress next is the policy, in TypeScript, which this library runs.

mod api;
mod call;
mod cells;
mod clock;
mod connection;
mod decoding;
mod dictionaries;
mod dictionary_cache;
mod engine;
mod frames;
mod handles;
mod host;
mod library;
mod log;
mod lookup;
mod memory;
mod policy_functions;
mod policy_run;
mod samples;
mod sha256;
mod sql;
mod stack;
mod training;
mod training_functions;
mod zstd;

use std::ffi::{c_char, c_int, c_void};
use std::panic::catch_unwind;

use api::{Api, Db};

/// What SQLite calls by default.
/// # Safety
/// To be called by SQLite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_extension_init(
    db: *mut c_void,
    message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    let outcome = catch_unwind(|| unsafe { library::register(Api::new(routines), db.cast::<Db>()) });
    match outcome.unwrap_or_else(|_| Err("tamp met a fault of its own".to_owned())) {
        Ok(()) => api::OK_LOAD_PERMANENTLY,
        Err(reason) => {
            unsafe { tell(Api::new(routines), message, &reason) };
            api::ERROR
        }
    }
}

/// What SQLite calls for a file named `tamp`.
/// # Safety
/// To be called by SQLite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_tamp_init(
    db: *mut c_void,
    message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    unsafe { sqlite3_extension_init(db, message, routines) }
}

/// What SQLite calls for a file named as cargo names it.
/// # Safety
/// To be called by SQLite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_tampsqlite_init(
    db: *mut c_void,
    message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    unsafe { sqlite3_extension_init(db, message, routines) }
}

/// Hands the reason over in memory of SQLite's, which frees it.
unsafe fn tell(api: Api, message: *mut *mut c_char, reason: &str) {
    unsafe {
        if message.is_null() {
            return;
        }
        let text = api.malloc64(reason.len() as u64 + 1).cast::<u8>();
        if !text.is_null() {
            text.copy_from_nonoverlapping(reason.as_ptr(), reason.len());
            *text.add(reason.len()) = 0;
            *message = text.cast();
        }
    }
}
