//! Memory as large as a value of somebody's: taking it may fail, and must not end the process.

use std::collections::TryReserveError;

use crate::call::Failure;
use crate::zstd::Fault;

pub fn copy(bytes: &[u8]) -> Result<Vec<u8>, TryReserveError> {
    let mut copy = with_room(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

pub fn with_room(length: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut room = Vec::new();
    room.try_reserve_exact(length)?;
    Ok(room)
}

impl From<TryReserveError> for Failure {
    fn from(_: TryReserveError) -> Failure {
        Failure::NoMemory
    }
}

impl From<TryReserveError> for Fault {
    fn from(_: TryReserveError) -> Fault {
        Fault::NoMemory
    }
}
