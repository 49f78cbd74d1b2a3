//! One run of the policy for a SQL function: what it leaves behind when it ends, however it ends, is taken back. That is a transaction or
//! savepoint of its own, the switches of the connection that it turned, samples and dictionaries that it did not release.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::api;
use crate::connection::Connection;
use crate::sql::Statement;

/// How long the policy has to end by itself after its statement was interrupted.
const GRACE: Duration = Duration::from_secs(2);

const SWITCHES: [i32; 2] = [api::DBCONFIG_WRITABLE_SCHEMA, api::DBCONFIG_DEFENSIVE];

/// What a run has done so far.
#[derive(Default)]
pub struct Progress {
    /// The open transaction is the policy's own.
    began: Cell<bool>,
    /// Savepoints of the policy that are open in a transaction of somebody else's.
    savepoints: Cell<usize>,
    interrupted_at: Cell<Option<Instant>>,
    /// The policy did not end by itself.
    killed: Cell<bool>,
}

impl Progress {
    /// Takes note of a statement of the policy that was carried out.
    pub fn note(&self, sql: &str, autocommit_before: bool, autocommit: bool) {
        if autocommit {
            self.began.set(false);
            self.savepoints.set(0);
        } else if autocommit_before {
            self.began.set(true);
        } else if sql.starts_with("SAVEPOINT ") {
            self.savepoints.set(self.savepoints.get() + 1);
        } else if sql.starts_with("RELEASE ") {
            self.savepoints.set(self.savepoints.get().saturating_sub(1));
        }
    }

    /// Asked now and then while the policy runs, with whether its statement is interrupted; true ends it.
    pub fn is_to_end(&self, interrupted: bool) -> bool {
        if !interrupted {
            self.interrupted_at.set(None);
            return false;
        }
        let since = self.interrupted_at.get().unwrap_or_else(Instant::now);
        self.interrupted_at.set(Some(since));
        self.killed.set(since.elapsed() > GRACE);
        self.killed.get()
    }

    pub fn was_killed(&self) -> bool {
        self.killed.get()
    }
}

pub struct Run<'connection> {
    connection: &'connection Connection,
    switches: [Option<bool>; SWITCHES.len()],
    last_handle: i64,
}

impl Run<'_> {
    pub fn new(connection: &Connection) -> Run<'_> {
        let Connection { api, db, .. } = *connection;
        let Progress { began, savepoints, interrupted_at, killed } = &connection.progress;
        began.set(false);
        savepoints.set(0);
        interrupted_at.set(None);
        killed.set(false);
        let switches = SWITCHES.map(|switch| unsafe { api.switch(db, switch, -1) });
        let last_handle = connection.handles.try_borrow().map_or(i64::MAX, |handles| handles.last());
        Run { connection, switches, last_handle }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let connection = self.connection;
        take_back(connection);
        for (switch, before) in SWITCHES.into_iter().zip(self.switches) {
            if let Some(before) = before {
                unsafe { connection.api.switch(connection.db, switch, before.into()) };
            }
        }
        if let Ok(mut handles) = connection.handles.try_borrow_mut() {
            handles.forget_after(self.last_handle);
        }
    }
}

fn in_autocommit(connection: &Connection) -> bool {
    unsafe { connection.api.get_autocommit(connection.db) != 0 }
}

fn run(connection: &Connection, sql: &str) -> bool {
    Statement::new(connection.api, connection.db, sql).and_then(|mut statement| statement.step()).is_ok()
}

/// A savepoint that cannot be gone back to, which is so on an interrupted connection, takes its whole transaction with it: SQLite does no
/// less when it interrupts a statement that writes, and half of what the policy does must not be committed.
fn take_back(connection: &Connection) {
    let Progress { began, savepoints, .. } = &connection.progress;
    if in_autocommit(connection) {
        return;
    }
    if began.get() {
        return roll_back(connection);
    }
    for _ in 0..savepoints.get() {
        if !(run(connection, "ROLLBACK TO \"tamp\"") && run(connection, "RELEASE \"tamp\"")) {
            return roll_back(connection);
        }
    }
}

/// An interrupted connection runs no ROLLBACK. But a statement that would write takes everything back when it is interrupted, as SQLite
/// documents of sqlite3_interrupt(); the parser must get through it, which would stop at the first space, and at the end of a text without
/// a semicolon.
fn roll_back(connection: &Connection) {
    for sql in ["ROLLBACK;", "PRAGMA\"user_version\"=0;", "ROLLBACK;"] {
        if in_autocommit(connection) {
            return;
        }
        run(connection, sql);
    }
}
