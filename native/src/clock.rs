//! Clocks: one that only goes forward, and the processor time of the thread.

use std::sync::OnceLock;
use std::time::Instant;

/// Seconds since this was first asked.
pub fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Seconds of processor time of this thread, where the system tells; else of the clock on the wall.
pub fn cpu_seconds() -> f64 {
    #[cfg(unix)]
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        if libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) == 0 {
            return time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        }
    }
    now()
}
