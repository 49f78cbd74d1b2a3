//! What the policy can ask of its host, as functions of one JavaScript object, and how values go from SQLite to JavaScript and back.

use std::ffi::c_int;
use std::thread::sleep;
use std::time::Duration;

use rquickjs::{Array, BigInt, Ctx, Error, Exception, Function, JsLifetime, Object, Result, TypedArray, Value};

use crate::api;
use crate::call::{Call, Failure, Outcome};
use crate::clock;
use crate::connection::Connection;
use crate::engine::MEMORY;
use crate::log::{Level, log};
use crate::sql::Statement;

/// Integers beyond this are BigInt in JavaScript.
const SAFE_INTEGER: i64 = 1 << 53;
const NAP: Duration = Duration::from_millis(50);

/// The connection, for functions that are called from JavaScript. It owns the engine, so it is there whenever they are called, and SQLite
/// lets no second thread into it meanwhile.
#[derive(Clone)]
pub struct Host(*const Connection);

unsafe impl Send for Host {}
unsafe impl Sync for Host {}

unsafe impl<'js> JsLifetime<'js> for Host {
    type Changed<'to> = Host;
}

impl Host {
    pub fn new(connection: &Connection) -> Host {
        Host(connection)
    }

    fn connection(&self) -> &Connection {
        unsafe { &*self.0 }
    }

    /// True when SQLite was told to interrupt the statement that called; where it does not say so, false.
    pub fn is_interrupted(&self) -> bool {
        let Connection { api, db, .. } = *self.connection();
        unsafe { api.libversion_number() >= api::WITH_IS_INTERRUPTED && api.is_interrupted(db) != 0 }
    }

    /// True when the policy has to be ended.
    pub fn is_to_end(&self) -> bool {
        self.connection().progress.is_to_end(self.is_interrupted())
    }

    /// As `is_interrupted`, asked by way of a statement where SQLite does not say: an interrupted connection runs none.
    fn is_stopping(&self) -> bool {
        let Connection { api, db, .. } = *self.connection();
        if unsafe { api.libversion_number() } >= api::WITH_IS_INTERRUPTED {
            return self.is_interrupted();
        }
        let stepped = Statement::new(api, db, "SELECT 1").and_then(|mut statement| statement.step());
        matches!(stepped, Err(Failure::Sql(code, _)) if code & 0xff == api::INTERRUPT)
    }
}

fn host(ctx: &Ctx) -> Result<Host> {
    ctx.userdata::<Host>().map(|host| host.clone()).ok_or(Error::Unknown)
}

/// Makes the object `tampHost` with the functions below.
pub fn install<'js>(ctx: &Ctx<'js>, globals: &Object<'js>, host: Host) -> Result<()> {
    ctx.store_userdata(host).map_err(|_| Error::Unknown)?;
    let object = Object::new(ctx.clone())?;
    object.set("query", Function::new(ctx.clone(), query)?)?;
    object.set("changes", Function::new(ctx.clone(), changes)?)?;
    object.set("autocommit", Function::new(ctx.clone(), autocommit)?)?;
    object.set("now", Function::new(ctx.clone(), clock::now)?)?;
    object.set("sleep", Function::new(ctx.clone(), pause)?)?;
    object.set("stopping", Function::new(ctx.clone(), stopping)?)?;
    object.set("defensive", Function::new(ctx.clone(), defensive)?)?;
    object.set("log", Function::new(ctx.clone(), write_log)?)?;
    globals.set("tampHost", object)
}

/// All rows of a statement, or `{ message, code }` of SQLite's error.
fn query<'js>(ctx: Ctx<'js>, sql: String, parameters: Array<'js>) -> Result<Value<'js>> {
    let host = host(&ctx)?;
    let Connection { api, db, .. } = *host.connection();
    let autocommit_before = unsafe { api.get_autocommit(db) != 0 };
    let mut statement = match Statement::new(api, db, &sql) {
        Ok(statement) => statement,
        Err(failure) => return failed(&ctx, failure),
    };
    let expected = unsafe { api.bind_parameter_count(statement.raw) } as usize;
    if parameters.len() != expected {
        let message = format!("{} parameters for {expected} places in: {sql}", parameters.len());
        return Err(Exception::throw_message(&ctx, &message));
    }
    for index in 0..parameters.len() {
        if let Err(failure) = bind(&ctx, &statement, index as c_int + 1, parameters.get(index)?)? {
            return failed(&ctx, failure);
        }
    }
    let rows = Array::new(ctx.clone())?;
    let columns = unsafe { api.column_count(statement.raw) };
    for number in 0.. {
        match statement.step() {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => return failed(&ctx, failure),
        }
        let row = Array::new(ctx.clone())?;
        for column in 0..columns {
            row.set(column as usize, column_value(&ctx, &statement, column)?)?;
        }
        rows.set(number, row)?;
    }
    host.connection().progress.note(&sql, autocommit_before, unsafe { api.get_autocommit(db) != 0 });
    Ok(rows.into_value())
}

fn failed<'js>(ctx: &Ctx<'js>, failure: Failure) -> Result<Value<'js>> {
    let (code, message) = match failure {
        Failure::Sql(code, message) => (code, message),
        Failure::Message(message) => (api::ERROR, message),
        Failure::TooBig => (api::TOOBIG, "string or blob too big".to_owned()),
        Failure::NoMemory => (api::NOMEM, "out of memory".to_owned()),
    };
    let object = Object::new(ctx.clone())?;
    object.set("message", message)?;
    object.set("code", code)?;
    Ok(object.into_value())
}

fn changes(ctx: Ctx) -> Result<c_int> {
    let host = host(&ctx)?;
    let Connection { api, db, .. } = *host.connection();
    Ok(unsafe { api.changes(db) })
}

fn autocommit(ctx: Ctx) -> Result<bool> {
    let host = host(&ctx)?;
    let Connection { api, db, .. } = *host.connection();
    Ok(unsafe { api.get_autocommit(db) != 0 })
}

/// Ends early when the statement is interrupted.
fn pause(ctx: Ctx, seconds: f64) -> Result<()> {
    let host = host(&ctx)?;
    let end = clock::now() + seconds;
    loop {
        let left = end - clock::now();
        if left.is_nan() || left <= 0.0 || host.is_stopping() {
            return Ok(());
        }
        sleep(NAP.min(Duration::from_secs_f64(left.min(1.0))));
    }
}

fn stopping(ctx: Ctx) -> Result<bool> {
    Ok(host(&ctx)?.is_stopping())
}

fn defensive(ctx: Ctx, on: bool) -> Result<bool> {
    let host = host(&ctx)?;
    let Connection { api, db, .. } = *host.connection();
    let before = unsafe { api.switch(db, api::DBCONFIG_DEFENSIVE, -1) }.unwrap_or(false);
    unsafe { api.switch(db, api::DBCONFIG_DEFENSIVE, on.into()) };
    Ok(before)
}

fn write_log(level: String, message: String) {
    log(Level::of(&level).unwrap_or(Level::Info), || message);
}

fn bind(ctx: &Ctx, statement: &Statement, index: c_int, value: Value) -> Result<Outcome> {
    Ok(if value.is_null() || value.is_undefined() {
        statement.bind_null(index)
    } else if let Some(integer) = integer_of(&value)? {
        statement.bind_integer(index, integer)
    } else if let Some(real) = value.as_float() {
        statement.bind_real(index, real)
    } else if let Some(text) = value.as_string() {
        statement.bind_text(index, &text.to_string()?)
    } else if let Ok(array) = TypedArray::<u8>::from_value(value) {
        // SQLite copies them, and nothing runs in JavaScript meanwhile.
        let bytes = unsafe { array.as_bytes() }.ok_or(Error::Unknown)?;
        statement.bind_blob(index, bytes)
    } else {
        return Err(Exception::throw_message(ctx, "a parameter is of no type that SQLite has"));
    })
}

/// Whole numbers are integers, whichever way JavaScript has them.
fn integer_of(value: &Value) -> Result<Option<i64>> {
    if let Some(integer) = value.as_int() {
        return Ok(Some(integer.into()));
    }
    if let Some(big) = value.as_big_int() {
        return big.clone().to_i64().map(Some);
    }
    let whole = value.as_float().filter(|real| real.fract() == 0.0 && real.abs() <= SAFE_INTEGER as f64);
    Ok(whole.map(|real| real as i64))
}

fn integer<'js>(ctx: &Ctx<'js>, number: i64) -> Result<Value<'js>> {
    if (-SAFE_INTEGER..=SAFE_INTEGER).contains(&number) {
        return Ok(Value::new_number(ctx.clone(), number as f64));
    }
    BigInt::from_i64(ctx.clone(), number).map(BigInt::into_value)
}

fn text<'js>(ctx: &Ctx<'js>, bytes: &[u8]) -> Result<Value<'js>> {
    if bytes.len() > MEMORY {
        return Err(Error::Allocation);
    }
    rquickjs::String::from_str(ctx.clone(), &String::from_utf8_lossy(bytes)).map(rquickjs::String::into_value)
}

fn blob<'js>(ctx: &Ctx<'js>, bytes: &[u8]) -> Result<Value<'js>> {
    TypedArray::<u8>::new_copy(ctx.clone(), bytes).map(TypedArray::into_value)
}

fn column_value<'js>(ctx: &Ctx<'js>, statement: &Statement, column: c_int) -> Result<Value<'js>> {
    match statement.column_type(column) {
        api::INTEGER => integer(ctx, statement.integer(column)),
        api::FLOAT => {
            let real = unsafe { statement.api.column_double(statement.raw, column) };
            Ok(Value::new_number(ctx.clone(), real))
        }
        api::TEXT => text(ctx, statement.bytes(column)),
        api::BLOB => blob(ctx, statement.bytes(column)),
        _ => Ok(Value::new_null(ctx.clone())),
    }
}

/// An argument of a SQL function.
pub fn from_sqlite<'js>(ctx: &Ctx<'js>, call: &Call, index: usize) -> Result<Value<'js>> {
    match call.type_of(index) {
        api::INTEGER => integer(ctx, call.integer(index)),
        api::FLOAT => Ok(Value::new_number(ctx.clone(), call.real(index))),
        api::TEXT => text(ctx, call.bytes(index)),
        api::BLOB => blob(ctx, call.bytes(index)),
        _ => Ok(Value::new_null(ctx.clone())),
    }
}

/// Sets the result of a SQL function: a text or a whole number, else NULL.
pub fn give(value: &Value, call: &Call) -> Result<()> {
    if let Some(integer) = integer_of(value)? {
        call.give_integer(integer);
    } else if let Some(text) = value.as_string() {
        call.give_text(&text.to_string()?);
    }
    Ok(())
}
