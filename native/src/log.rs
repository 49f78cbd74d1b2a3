//! Messages to standard error, as much as the environment variable SQLITE_ZSTD_LOG asks for: off, error, warn (the default), info, debug.

use std::io::Write;
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    pub fn of(name: &str) -> Option<Level> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "off" => Level::Off,
            "error" => Level::Error,
            "warn" => Level::Warn,
            "info" => Level::Info,
            "debug" | "trace" => Level::Debug,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

fn wanted() -> Level {
    static WANTED: OnceLock<Level> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("SQLITE_ZSTD_LOG").ok().as_deref().and_then(Level::of).unwrap_or(Level::Warn))
}

pub fn log(level: Level, message: impl FnOnce() -> String) {
    if level <= wanted() {
        // Nobody may be listening, which is no reason to fail.
        let _ = writeln!(std::io::stderr(), "tamp: {}: {}", level.name(), message());
    }
}
