//! How much stack the running thread has left.

/// Bytes; none where the system does not say.
#[cfg(target_os = "linux")]
pub fn left() -> Option<usize> {
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
        let code = libc::pthread_attr_getstack(&attributes, &mut lowest, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
        (code == 0).then(|| here().saturating_sub(lowest as usize))
    }
}

#[cfg(target_os = "macos")]
pub fn left() -> Option<usize> {
    unsafe {
        let thread = libc::pthread_self();
        let lowest = (libc::pthread_get_stackaddr_np(thread) as usize) - libc::pthread_get_stacksize_np(thread);
        Some(here().saturating_sub(lowest))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn left() -> Option<usize> {
    None
}

/// An address on the stack, near its end in use.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[inline(never)]
fn here() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here) as usize
}
