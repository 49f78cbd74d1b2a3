//! Dictionaries as zstd wants them, what values are encoded with, and zstd's errors.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::rc::Rc;

use zstd_sys::*;

use crate::call::Failure;

/// Longer dictionaries are refused: zstd's own trainer makes them of a hundred kilobytes, and each is kept in memory twice.
pub const LONGEST_DICTIONARY: usize = 64 << 20;
/// Dictionaries of zstd begin with this, and go on with numbers made from all their bytes.
pub const MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// A dictionary as it is stored, digested for decoding, and for encoding at the levels it was used at.
pub struct Dictionary {
    bytes: Rc<Vec<u8>>,
    pub decoder: NonNull<ZSTD_DDict>,
}

pub struct EncoderDictionary {
    pub encoder: NonNull<ZSTD_CDict>,
    /// The digest refers to them.
    _bytes: Rc<Vec<u8>>,
}

impl Dictionary {
    /// Corrupt where there are no bytes, or they begin like a dictionary of zstd and are none.
    pub fn new(bytes: Vec<u8>) -> Result<Dictionary, Fault> {
        if bytes.is_empty() {
            return Err(Fault::Corrupt("is empty"));
        }
        if bytes.len() > LONGEST_DICTIONARY {
            return Err(Fault::Corrupt(TOO_LONG));
        }
        let decoder = unsafe { ZSTD_createDDict_byReference(bytes.as_ptr().cast(), bytes.len()) };
        // zstd does not say why; bytes without its beginning are always a dictionary.
        let fault = if bytes.starts_with(&MAGIC) { Fault::Corrupt("is damaged") } else { Fault::NoMemory };
        Ok(Dictionary { decoder: NonNull::new(decoder).ok_or(fault)?, bytes: Rc::new(bytes) })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of memory it takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + unsafe { ZSTD_sizeof_DDict(self.decoder.as_ptr()) }
    }

    pub fn encoder(&self, level: i32) -> Option<EncoderDictionary> {
        let encoder = unsafe { ZSTD_createCDict_byReference(self.bytes.as_ptr().cast(), self.bytes.len(), level) };
        Some(EncoderDictionary { encoder: NonNull::new(encoder)?, _bytes: self.bytes.clone() })
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        unsafe { ZSTD_freeDDict(self.decoder.as_ptr()) };
    }
}

impl EncoderDictionary {
    pub fn size(&self) -> usize {
        unsafe { ZSTD_sizeof_CDict(self.encoder.as_ptr()) }
    }
}

impl Drop for EncoderDictionary {
    fn drop(&mut self) {
        unsafe { ZSTD_freeCDict(self.encoder.as_ptr()) };
    }
}

/// What a frame is encoded with: a digested dictionary, which implies the level, or the level alone.
#[derive(Clone)]
pub enum Encoding {
    Dictionary(Rc<EncoderDictionary>),
    Level(i32),
}

impl Encoding {
    pub fn same(&self, other: &Encoding) -> bool {
        match (self, other) {
            (Encoding::Dictionary(one), Encoding::Dictionary(other)) => Rc::ptr_eq(one, other),
            (Encoding::Level(one), Encoding::Level(other)) => one == other,
            _ => false,
        }
    }
}

/// Said of a dictionary.
pub const TOO_LONG: &str = "is longer than 64 MB";

/// Why a frame gives no value, or a value no frame.
pub enum Fault {
    Corrupt(&'static str),
    TooBig,
    NoMemory,
}

impl Fault {
    /// As an error of a function, whose message is made from the reason.
    pub fn told(self, message: impl FnOnce(&str) -> String) -> Failure {
        match self {
            Fault::Corrupt(reason) => Failure::Message(message(reason)),
            Fault::TooBig => Failure::TooBig,
            Fault::NoMemory => Failure::NoMemory,
        }
    }
}

fn reason(code: usize) -> &'static str {
    unsafe { CStr::from_ptr(ZSTD_getErrorName(code)) }.to_str().unwrap_or("unknown error of zstd")
}

/// What a function of zstd gave, where it is no error.
pub fn checked(code: usize) -> Result<usize, Fault> {
    if unsafe { ZSTD_isError(code) } == 0 {
        return Ok(code);
    }
    match unsafe { ZSTD_getErrorCode(code) } {
        ZSTD_ErrorCode::ZSTD_error_memory_allocation => Err(Fault::NoMemory),
        _ => Err(Fault::Corrupt(reason(code))),
    }
}
