//! Dictionaries as zstd wants them, what values are encoded with, and zstd's errors.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::rc::Rc;

use zstd_sys::*;

use crate::call::Failure;

/// A dictionary as it is stored, digested for decoding, and for encoding at the levels it was used at.
pub struct Dictionary {
    bytes: Rc<[u8]>,
    pub decoder: NonNull<ZSTD_DDict>,
}

pub struct EncoderDictionary {
    pub encoder: NonNull<ZSTD_CDict>,
    /// The digest refers to them.
    _bytes: Rc<[u8]>,
}

impl Dictionary {
    /// `None` where there are no bytes, or they begin like a dictionary of zstd and are none.
    pub fn new(bytes: &[u8]) -> Option<Dictionary> {
        if bytes.is_empty() {
            return None;
        }
        let bytes: Rc<[u8]> = bytes.into();
        let decoder = unsafe { ZSTD_createDDict_byReference(bytes.as_ptr().cast(), bytes.len()) };
        Some(Dictionary { decoder: NonNull::new(decoder)?, bytes })
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
