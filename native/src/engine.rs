//! The JavaScript engine that runs the policy: made on first use, one a connection, with bounded memory and stack.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Function, Object, Runtime, Value};

use crate::api;
use crate::call::{Call, Failure, Outcome};
use crate::connection::Connection;
use crate::host::{self, Host, from_sqlite};
use crate::sql::Statement;

/// Bytes of memory that the policy may take.
const MEMORY: usize = 64 << 20;
/// Bytes of stack; threads of the hosts have a megabyte and more.
const STACK: usize = 384 << 10;
/// How long the policy has to end by itself after its statement was interrupted.
const GRACE: Duration = Duration::from_secs(2);

/// The policy, bundled from TypeScript.
const POLICY: &str = include_str!("../policy.js");

pub struct Engine {
    context: Context,
}

impl Engine {
    /// The connection must outlive the engine, which it does as its owner.
    fn new(connection: &Connection) -> Result<Engine, String> {
        let fault = |error: rquickjs::Error| format!("tamp's policy cannot be run: {error}");
        let runtime = Runtime::new().map_err(fault)?;
        runtime.set_memory_limit(MEMORY);
        runtime.set_max_stack_size(STACK);
        let host = Host::new(connection);
        let interrupted_at: Cell<Option<Instant>> = Cell::new(None);
        let watched = host.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || {
            if !watched.is_interrupted() {
                interrupted_at.set(None);
                return false;
            }
            let since = interrupted_at.get().unwrap_or_else(Instant::now);
            interrupted_at.set(Some(since));
            since.elapsed() > GRACE
        })));
        let context = Context::full(&runtime).map_err(fault)?;
        context.with(|ctx| {
            let globals = ctx.globals();
            let made = host::install(&ctx, &globals, host).and_then(|()| ctx.eval::<(), _>(POLICY));
            made.catch(&ctx).map_err(|error| format!("tamp's policy cannot be run: {}", told(&error)))
        })?;
        Ok(Engine { context })
    }

    /// Calls an entry point of the policy with the arguments of a SQL function, and sets that function's result.
    fn run(&self, entry_point: &str, call: &Call) -> Outcome {
        self.context.with(|ctx| {
            let outcome = run(&ctx, entry_point, call).catch(&ctx);
            outcome
                .unwrap_or_else(|error| Err(Failure::Message(format!("tamp met a fault of its own: {}", told(&error)))))
        })
    }
}

fn run<'js>(ctx: &Ctx<'js>, entry_point: &str, call: &Call) -> rquickjs::Result<Outcome> {
    let policy: Object = ctx.globals().get("tampPolicy")?;
    let function: Function = policy.get("run")?;
    let arguments = rquickjs::Array::new(ctx.clone())?;
    for index in 0..call.arguments.len() {
        arguments.set(index, from_sqlite(ctx, call, index)?)?;
    }
    let host: Object = ctx.globals().get("tampHost")?;
    let answer: Object = function.call((host, entry_point, arguments))?;
    if answer.get("done")? {
        let value: Value = answer.get("value")?;
        host::give(&value, call)?;
        return Ok(Ok(()));
    }
    let message: String = answer.get("message")?;
    Ok(Err(match answer.get::<_, Option<i32>>("code")? {
        Some(code) => Failure::Sql(code, message),
        None => Failure::Message(message),
    }))
}

fn told(error: &CaughtError) -> String {
    match error {
        CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            match exception.stack() {
                Some(stack) => format!("{message} {}", stack.lines().next().unwrap_or_default().trim()),
                None => message,
            }
        }
        other => other.to_string(),
    }
}

/// Runs an entry point of the policy for a SQL function. Whatever happens, no transaction that it began stays open.
pub fn call_policy(entry_point: &str, call: &Call) -> Outcome {
    let connection = call.connection;
    let Ok(mut engine) = connection.engine.try_borrow_mut() else {
        return Err("tamp is already at work on this connection".into());
    };
    if inside_write(connection) {
        let hint = "call it in a SELECT of its own, without a table";
        return Err(format!("{entry_point} cannot be part of a statement that writes ({hint})").into());
    }
    let engine = match &mut *engine {
        Some(engine) => engine,
        none => none.insert(Engine::new(connection)?),
    };
    let own = in_autocommit(connection);
    let outcome = engine.run(entry_point, call);
    let interrupted = matches!(outcome, Err(Failure::Sql(code, _)) if code & 0xff == api::INTERRUPT);
    if !in_autocommit(connection) && (own || interrupted) {
        roll_back(connection);
    }
    outcome
}

fn in_autocommit(connection: &Connection) -> bool {
    unsafe { connection.api.get_autocommit(connection.db) != 0 }
}

/// True while a statement that writes is running on the connection: ours could not commit then, and would keep its lock all the time.
fn inside_write(connection: &Connection) -> bool {
    let Connection { api, db, .. } = *connection;
    let mut statement = std::ptr::null_mut();
    loop {
        statement = unsafe { api.next_stmt(db, statement) };
        if statement.is_null() {
            return false;
        }
        if unsafe { api.stmt_busy(statement) != 0 && api.stmt_readonly(statement) == 0 } {
            return true;
        }
    }
}

/// An interrupted connection runs no ROLLBACK. But a statement that would write takes everything back when it is interrupted, as SQLite
/// documents of sqlite3_interrupt(); the parser must get through it, which would stop
/// at the first space, and at the end of a text without a semicolon.
fn roll_back(connection: &Connection) {
    for sql in ["ROLLBACK;", "PRAGMA\"user_version\"=0;", "ROLLBACK;"] {
        if in_autocommit(connection) {
            return;
        }
        let _ = Statement::new(connection.api, connection.db, sql).and_then(|statement| statement.step());
    }
}
