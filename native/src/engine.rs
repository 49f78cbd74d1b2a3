//! The JavaScript engine that runs the policy: made on first use, one a connection, with bounded memory and stack.

use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Function, Object, Runtime, Value};

use crate::api;
use crate::call::{Call, Failure, Outcome};
use crate::connection::Connection;
use crate::host::{self, Host, from_sqlite};
use crate::policy_run::Run;
use crate::stack;

/// Bytes of memory that the policy may take.
pub const MEMORY: usize = 64 << 20;
/// Bytes of stack that the policy may take, and that it must have.
const STACK: usize = 384 << 10;
const LEAST_STACK: usize = 128 << 10;
/// Bytes of stack for SQLite and zstd, which the policy calls.
const RESERVED_STACK: usize = 96 << 10;

/// The policy, bundled from TypeScript.
const POLICY: &str = include_str!("../policy.js");

pub struct Engine {
    context: Context,
}

impl Engine {
    /// The connection must outlive the engine, which it does as its owner.
    fn new(connection: &Connection, stack: usize) -> Result<Engine, String> {
        let fault = |error: rquickjs::Error| format!("tamp's policy cannot be run: {error}");
        let runtime = Runtime::new().map_err(fault)?;
        runtime.set_memory_limit(MEMORY);
        runtime.set_max_stack_size(stack);
        let host = Host::new(connection);
        let watched = host.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || watched.is_to_end())));
        let context = Context::full(&runtime).map_err(fault)?;
        context.with(|ctx| {
            let globals = ctx.globals();
            let made = host::install(&ctx, &globals, host).and_then(|()| ctx.eval::<(), _>(POLICY));
            made.catch(&ctx).map_err(|error| format!("tamp's policy cannot be run: {}", told(&error)))
        })?;
        Ok(Engine { context })
    }

    /// Calls an entry point of the policy with the arguments of a SQL function, and sets that function's result. A fault is one of the
    /// engine or the policy, after which the engine is not to be used again.
    fn run(&self, entry_point: &str, call: &Call, stack: usize) -> Result<Outcome, Failure> {
        self.context.runtime().set_max_stack_size(stack);
        self.context.with(|ctx| run(&ctx, entry_point, call).catch(&ctx).map_err(|error| fault(&error, call)))
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

fn fault(error: &CaughtError, call: &Call) -> Failure {
    if call.connection.progress.was_killed() {
        return Failure::Sql(api::INTERRUPT, "interrupted".to_owned());
    }
    let out_of_memory = match error {
        CaughtError::Error(error) => matches!(error, rquickjs::Error::Allocation),
        CaughtError::Exception(exception) => exception.message().is_some_and(|message| message == "out of memory"),
        // There was no memory left for an exception.
        CaughtError::Value(value) => value.is_null(),
    };
    if out_of_memory {
        let most = MEMORY >> 20;
        return Failure::Sql(
            api::NOMEM,
            format!("tamp's policy needs more memory than the {most} MB that it may take"),
        );
    }
    Failure::Message(format!("tamp met a fault of its own: {}", told(error)))
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

/// Runs an entry point of the policy for a SQL function.
pub fn call_policy(entry_point: &str, call: &Call) -> Outcome {
    let connection = call.connection;
    let Ok(mut engine) = connection.engine.try_borrow_mut() else {
        return Err("tamp is already at work on this connection".into());
    };
    if inside_write(connection) {
        let hint = "call it in a SELECT of its own, without a table";
        return Err(format!("{entry_point} cannot be part of a statement that writes ({hint})").into());
    }
    let stack = stack::left().map_or(STACK, |left| STACK.min(left.saturating_sub(RESERVED_STACK)));
    if stack < LEAST_STACK {
        let needed = (LEAST_STACK + RESERVED_STACK) >> 10;
        return Err(format!("{entry_point} needs a thread with at least {needed} kB of stack left").into());
    }
    let run = Run::new(connection);
    let outcome = match &*engine {
        Some(engine) => engine.run(entry_point, call, stack),
        None => engine.insert(Engine::new(connection, stack)?).run(entry_point, call, stack),
    };
    drop(run);
    outcome.unwrap_or_else(|fault| {
        *engine = None;
        Err(fault)
    })
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
