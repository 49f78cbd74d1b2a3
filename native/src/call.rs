//! How SQLite calls into this library. A callback is given no pointer to SQLite's routines, and a process may hold several SQLite
//! libraries: every library that loads this one gets a slot, and every function exists once a slot. No panic leaves a callback.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::api::{self, Api, Context, Value, XFinal, XFunc};
use crate::connection::Connection;

/// SQLite libraries in one process that can use this library at the same time.
pub const SLOTS: usize = 8;

static TABLES: [AtomicPtr<c_void>; SLOTS] = [const { AtomicPtr::new(null_mut()) }; SLOTS];
/// Connections open through each slot; a slot without any may be given to another library.
static CONNECTIONS: Mutex<[usize; SLOTS]> = Mutex::new([0; SLOTS]);

/// The slot of a SQLite library, held as long as one of its connections is open.
pub struct Slot(usize);

impl Slot {
    /// The slot of the library whose routines these are, or a free one; `None` when all are taken by other libraries.
    pub fn of(api: Api) -> Option<Slot> {
        let mut connections = CONNECTIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let table = api.as_pointer().cast_mut();
        let index = (0..SLOTS)
            .find(|&index| TABLES[index].load(Relaxed) == table)
            .or_else(|| (0..SLOTS).find(|&index| TABLES[index].load(Relaxed).is_null()))
            .or_else(|| (0..SLOTS).find(|&index| connections[index] == 0))?;
        TABLES[index].store(table, Relaxed);
        connections[index] += 1;
        Some(Slot(index))
    }

    pub fn index(&self) -> usize {
        self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        CONNECTIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[self.0] -= 1;
    }
}

/// Why a function gives no value.
pub enum Failure {
    Message(String),
    /// An error of SQLite, with its extended code.
    Sql(c_int, String),
    TooBig,
    NoMemory,
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Failure {
        Failure::Message(message.to_owned())
    }
}

pub type Outcome<T = ()> = Result<T, Failure>;

/// One call of a function, with its arguments. An outcome without a result set is NULL.
pub struct Call<'call> {
    pub api: Api,
    pub context: *mut Context,
    pub arguments: &'call [*mut Value],
    pub connection: &'call Connection,
}

pub trait Scalar {
    fn call(call: &Call) -> Outcome;
}

pub trait Aggregate: Default {
    fn step(&mut self, call: &Call) -> Outcome;
    /// Also called, on a default, when there was no row.
    fn last(self, call: &Call) -> Outcome;
}

impl<'call> Call<'call> {
    #[inline(always)]
    unsafe fn new(slot: usize, context: *mut Context, count: c_int, arguments: *mut *mut Value) -> Call<'call> {
        unsafe {
            let api = Api::new(TABLES[slot].load(Relaxed));
            let connection = &*api.user_data(context).cast::<Connection>();
            let arguments =
                if count == 0 { &[][..] } else { slice::from_raw_parts(arguments.cast_const(), count as usize) };
            Call { api, context, arguments, connection }
        }
    }

    #[cold]
    fn fail(&self, failure: Failure) {
        unsafe {
            match failure {
                Failure::Message(message) => self.error(&message),
                Failure::Sql(code, message) => {
                    self.error(&message);
                    self.api.result_error_code(self.context, code);
                }
                Failure::TooBig => self.api.result_error_toobig(self.context),
                Failure::NoMemory => self.api.result_error_nomem(self.context),
            }
        }
    }

    fn error(&self, message: &str) {
        unsafe { self.api.result_error(self.context, message.as_ptr().cast(), message.len() as c_int) }
    }

    #[inline(always)]
    fn guarded(&self, body: impl FnOnce() -> Outcome) {
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => self.fail(failure),
            Err(panic) => {
                let reason = panic.downcast_ref::<String>().map(String::as_str);
                let reason = reason.or(panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
                self.error(&format!("tamp met a fault of its own: {reason}"));
            }
        }
    }

    #[inline(always)]
    pub fn type_of(&self, index: usize) -> c_int {
        unsafe { self.api.value_type(self.arguments[index]) }
    }

    pub fn is_null(&self, index: usize) -> bool {
        self.type_of(index) == api::NULL
    }

    #[inline(always)]
    pub fn integer(&self, index: usize) -> i64 {
        unsafe { self.api.value_int64(self.arguments[index]) }
    }

    /// A whole number; `what` is what it stands for. Some drivers give every number as a real.
    #[inline(always)]
    pub fn whole(&self, index: usize, what: &str) -> Outcome<i64> {
        match self.type_of(index) {
            api::INTEGER => Ok(self.integer(index)),
            api::FLOAT if self.real(index).fract() == 0.0 => Ok(self.integer(index)),
            _ => Err(Failure::Message(format!("{what} is a whole number"))),
        }
    }

    pub fn real(&self, index: usize) -> f64 {
        unsafe { self.api.value_double(self.arguments[index]) }
    }

    /// The bytes of a text or blob, valid until the argument is looked at in another way.
    #[inline(always)]
    pub fn bytes(&self, index: usize) -> &'call [u8] {
        let value = self.arguments[index];
        unsafe {
            let start = if self.api.value_type(value) == api::TEXT {
                self.api.value_text(value)
            } else {
                self.api.value_blob(value).cast()
            };
            let length = self.api.value_bytes(value) as usize;
            if start.is_null() || length == 0 { &[] } else { slice::from_raw_parts(start, length) }
        }
    }

    pub fn text(&self, index: usize) -> Outcome<&'call str> {
        std::str::from_utf8(self.bytes(index)).map_err(|_| "an argument is not valid UTF-8".into())
    }

    /// True for text and blobs, the values that can be compressed.
    #[inline(always)]
    pub fn has_bytes(&self, index: usize) -> bool {
        matches!(self.type_of(index), api::TEXT | api::BLOB)
    }

    /// SQLite's error for an interrupted statement, where the statement has been, and SQLite tells.
    pub fn stop_if_interrupted(&self) -> Outcome {
        unsafe {
            let tells = self.api.libversion_number() >= api::WITH_IS_INTERRUPTED;
            if tells && self.api.is_interrupted(self.connection.db) != 0 {
                return Err(Failure::Sql(api::INTERRUPT, "interrupted".to_owned()));
            }
        }
        Ok(())
    }

    pub fn give_integer(&self, value: i64) {
        unsafe { self.api.result_int64(self.context, value) }
    }

    #[inline(always)]
    pub fn give_argument(&self, index: usize) {
        unsafe { self.api.result_value(self.context, self.arguments[index]) }
    }

    pub fn give_text(&self, text: &str) {
        self.give_bytes(text.as_bytes(), true);
    }

    /// SQLite copies the bytes into the memory it has for this result, which it keeps from row to row.
    #[inline(always)]
    pub fn give_bytes(&self, bytes: &[u8], text: bool) {
        self.give(bytes.as_ptr(), bytes.len(), text, api::TRANSIENT);
    }

    /// Hands over memory of `malloc64`.
    pub fn give_memory(&self, memory: *mut u8, length: usize, text: bool) {
        self.give(memory, length, text, self.api.free_routine());
    }

    #[inline(always)]
    fn give(&self, start: *const u8, length: usize, text: bool, destructor: isize) {
        unsafe {
            if text {
                let encoding = api::UTF8 as u8;
                self.api.result_text64(self.context, start.cast(), length as u64, destructor, encoding);
            } else {
                self.api.result_blob64(self.context, start.cast(), length as u64, destructor);
            }
        }
    }
}

unsafe extern "C" fn scalar<const SLOT: usize, F: Scalar>(
    context: *mut Context,
    count: c_int,
    values: *mut *mut Value,
) {
    let call = unsafe { Call::new(SLOT, context, count, values) };
    call.guarded(|| F::call(&call));
}

/// What SQLite keeps for an aggregate between its steps: zeros at first.
#[repr(C)]
struct Kept<A> {
    aggregate: *mut A,
    /// A step gave an error, or did not end: there is no result to make.
    failed: u8,
}

unsafe extern "C" fn step<const SLOT: usize, A: Aggregate>(
    context: *mut Context,
    count: c_int,
    values: *mut *mut Value,
) {
    let call = unsafe { Call::new(SLOT, context, count, values) };
    call.guarded(|| {
        let kept = unsafe { call.api.aggregate_context(context, size_of::<Kept<A>>() as c_int) }.cast::<Kept<A>>();
        if kept.is_null() {
            return Err(Failure::NoMemory);
        }
        let aggregate = unsafe {
            if (*kept).aggregate.is_null() {
                (*kept).aggregate = Box::into_raw(Box::default());
            }
            (*kept).failed = 1;
            &mut *(*kept).aggregate
        };
        aggregate.step(&call)?;
        unsafe { (*kept).failed = 0 };
        Ok(())
    });
}

/// SQLite also calls this to clean up after a statement that was stopped, and does not say so. After an error of a step, and after an
/// interruption, nothing is made; after an error of something else in the statement what was seen is taken for all there is, and what comes
/// of it is thrown away (a dictionary that was saved by then goes with the statement's other changes, in as far as those are taken back).
unsafe extern "C" fn last<const SLOT: usize, A: Aggregate>(context: *mut Context) {
    let call = unsafe { Call::new(SLOT, context, 0, null_mut()) };
    call.guarded(|| {
        let kept = unsafe { call.api.aggregate_context(context, 0) }.cast::<Kept<A>>();
        let aggregate = unsafe {
            if kept.is_null() || (*kept).aggregate.is_null() {
                A::default()
            } else {
                let aggregate = *Box::from_raw((*kept).aggregate);
                (*kept).aggregate = null_mut();
                if (*kept).failed != 0 {
                    return Ok(());
                }
                aggregate
            }
        };
        call.stop_if_interrupted()?;
        aggregate.last(&call)
    });
}

/// A function of this library in the form of one slot.
pub fn scalar_of<F: Scalar>(slot: &Slot) -> XFunc {
    let forms: [XFunc; SLOTS] = [
        scalar::<0, F>,
        scalar::<1, F>,
        scalar::<2, F>,
        scalar::<3, F>,
        scalar::<4, F>,
        scalar::<5, F>,
        scalar::<6, F>,
        scalar::<7, F>,
    ];
    forms[slot.index()]
}

/// An aggregate of this library in the form of one slot.
pub fn aggregate_of<A: Aggregate>(slot: &Slot) -> (XFunc, XFinal) {
    let forms: [(XFunc, XFinal); SLOTS] = [
        (step::<0, A>, last::<0, A>),
        (step::<1, A>, last::<1, A>),
        (step::<2, A>, last::<2, A>),
        (step::<3, A>, last::<3, A>),
        (step::<4, A>, last::<4, A>),
        (step::<5, A>, last::<5, A>),
        (step::<6, A>, last::<6, A>),
        (step::<7, A>, last::<7, A>),
    ];
    forms[slot.index()]
}
