//! Decoding of one frame, into memory that is bounded whatever the frame claims.

use std::ffi::c_void;
use std::ptr::NonNull;

use zstd_sys::*;

use crate::api::Api;
use crate::zstd::{Dictionary, Fault, checked};

/// Most that a block of zstd decodes to.
pub const BLOCK: usize = 128 << 10;

/// A frame that begins with this, or the 15 numbers after it, holds something else than a value, and is passed over.
const SKIPPABLE: u32 = 0x184d_2a50;

/// Where a decoded value is.
pub enum Decoded<'codec> {
    /// In memory of the codec, until its next use.
    Kept(&'codec [u8]),
    /// In memory of SQLite's, to be handed over or freed.
    Memory(SqliteMemory),
}

impl Decoded<'_> {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Decoded::Kept(bytes) => bytes,
            Decoded::Memory(memory) => memory.bytes(),
        }
    }
}

pub struct SqliteMemory {
    api: Api,
    start: NonNull<u8>,
    length: usize,
}

impl SqliteMemory {
    pub fn bytes(&self) -> &[u8] {
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// The memory, which is the caller's from now on.
    pub fn release(self) -> (*mut u8, usize) {
        let parts = (self.start.as_ptr(), self.length);
        std::mem::forget(self);
        parts
    }

    fn allocate(api: Api, length: usize) -> Result<SqliteMemory, Fault> {
        let start = unsafe { api.malloc64(length.max(1) as u64) };
        Ok(SqliteMemory { api, start: NonNull::new(start.cast()).ok_or(Fault::NoMemory)?, length })
    }

    fn shrink(&mut self, length: usize) {
        let start = unsafe { self.api.realloc64(self.start.as_ptr().cast(), length.max(1) as u64) };
        self.start = NonNull::new(start.cast()).unwrap_or(self.start);
        self.length = length;
    }
}

impl Drop for SqliteMemory {
    fn drop(&mut self) {
        unsafe { self.api.free(self.start.as_ptr().cast()) };
    }
}

/// Whether an attempt failed for want of room.
fn wants_room(code: usize) -> bool {
    unsafe { ZSTD_isError(code) != 0 && ZSTD_getErrorCode(code) == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall }
}

/// A decoding context.
pub struct Decoder(NonNull<ZSTD_DCtx>);

impl Decoder {
    pub fn new(compact: bool) -> Result<Decoder, Fault> {
        let decoder = Decoder(NonNull::new(unsafe { ZSTD_createDCtx() }).ok_or(Fault::NoMemory)?);
        let format = ZSTD_dParameter::ZSTD_d_experimentalParam1;
        checked(unsafe { ZSTD_DCtx_setParameter(decoder.0.as_ptr(), format, compact.into()) })?;
        Ok(decoder)
    }

    #[inline(always)]
    pub fn decode(&mut self, frame: &[u8], dictionary: Option<&Dictionary>, into: *mut u8, room: usize) -> usize {
        let dictionary = dictionary.map_or(std::ptr::null(), |dictionary| dictionary.decoder.as_ptr().cast_const());
        unsafe {
            let (into, from) = (into.cast::<c_void>(), frame.as_ptr().cast());
            ZSTD_decompress_usingDDict(self.0.as_ptr(), into, room, from, frame.len(), dictionary)
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        unsafe { ZSTD_freeDCtx(self.0.as_ptr()) };
    }
}

/// Decodes into memory that grows with the value, not with what the frame claims. `code` is what the first attempt gave.
#[cold]
pub fn decode_large(
    api: Api,
    decoder: &mut Decoder,
    frame: &[u8],
    dictionary: Option<&Dictionary>,
    compact: bool,
    limit: usize,
    mut code: usize,
) -> Result<Decoded<'static>, Fault> {
    if frame.is_empty() {
        return Err(Fault::Corrupt("it is empty"));
    }
    let bound = bound(frame, compact).min(limit);
    let mut room = BLOCK;
    while wants_room(code) && room < bound {
        room = (4 * room).max(8 * frame.len()).min(bound);
        let mut memory = SqliteMemory::allocate(api, room)?;
        code = decoder.decode(frame, dictionary, memory.start.as_ptr(), room);
        if code <= room {
            memory.shrink(code);
            return Ok(Decoded::Memory(memory));
        }
    }
    if wants_room(code) && bound == limit || code <= BLOCK {
        return Err(Fault::TooBig);
    }
    checked(code).and(Err(Fault::Corrupt("it claims more than it holds")))
}

/// The most bytes that a frame can decode to, from the sizes of its blocks; what cannot be read counts nothing, decoding will tell.
fn bound(frame: &[u8], compact: bool) -> usize {
    let mut total = 0usize;
    let mut rest = frame;
    loop {
        if !compact {
            let Some((&magic, after)) = rest.split_first_chunk() else { return total };
            rest = after;
            if u32::from_le_bytes(magic) & !0xf == SKIPPABLE {
                let Some((&size, after)) = rest.split_first_chunk() else { return total };
                rest = after.get(u32::from_le_bytes(size) as usize..).unwrap_or_default();
                continue;
            }
        }
        let Some(&descriptor) = rest.first() else { return total };
        let single_segment = descriptor >> 5 & 1;
        let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content_size = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
        let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
        let header = 1 + usize::from(1 - single_segment) + dictionary_id + content_size;
        rest = rest.get(header..).unwrap_or_default();
        loop {
            let Some(&[low, middle, high]) = rest.first_chunk() else { return total };
            let block = u32::from_le_bytes([low, middle, high, 0]);
            let (is_last, kind, size) = (block & 1 == 1, block >> 1 & 3, (block >> 3) as usize);
            let (stored, decoded) = match kind {
                0 => (size, size),
                1 => (1, size),
                _ => (size, BLOCK),
            };
            total = total.saturating_add(decoded);
            rest = rest.get(3 + stored..).unwrap_or_default();
            if is_last {
                break;
            }
        }
        rest = rest.get(checksum..).unwrap_or_default();
    }
}
