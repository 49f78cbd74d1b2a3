//! What this library keeps for one connection. Every function registered on it holds a reference, and gives it up when SQLite drops the
//! function, at the latest when the connection closes. SQLite lets one thread at a time into a connection, so nothing here is locked.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::api::{self, Api, Db};
use crate::call::Slot;
use crate::dictionary_cache::Dictionaries;
use crate::engine::Engine;
use crate::frames::Codec;
use crate::handles::Handles;
use crate::policy_run::Progress;

pub struct Connection {
    pub api: Api,
    pub db: *mut Db,
    pub slot: Slot,
    pub codec: RefCell<Codec>,
    pub dictionaries: RefCell<Dictionaries>,
    /// A dictionary is being looked for.
    pub looking: Cell<bool>,
    pub handles: RefCell<Handles>,
    pub engine: RefCell<Option<Engine>>,
    pub progress: Progress,
    references: Cell<usize>,
}

impl Connection {
    /// With one reference, to be given up with `release`.
    pub fn new(api: Api, db: *mut Db, slot: Slot) -> *mut Connection {
        Box::into_raw(Box::new(Connection {
            api,
            db,
            slot,
            codec: RefCell::new(Codec::new(api)),
            dictionaries: RefCell::default(),
            looking: Cell::new(false),
            handles: RefCell::default(),
            engine: RefCell::new(None),
            progress: Progress::default(),
            references: Cell::new(1),
        }))
    }

    pub fn hold(&self) {
        self.references.set(self.references.get() + 1);
    }

    /// # Safety
    /// `connection` must come from `new`, and this reference must not be used again. Has the form of SQLite's destructors.
    pub unsafe extern "C" fn release(connection: *mut c_void) {
        let connection = connection.cast::<Connection>();
        unsafe {
            let left = (*connection).references.get() - 1;
            (*connection).references.set(left);
            if left == 0 {
                // Nothing of it may unwind into SQLite.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(connection))));
            }
        }
    }

    /// The most bytes that SQLite takes as one value.
    #[inline(always)]
    pub fn length_limit(&self) -> usize {
        unsafe { self.api.limit(self.db, api::LIMIT_LENGTH, -1) }.max(0) as usize
    }
}
