//! Cells as zstd frames: contexts that are made once and reused.
//! A compact frame has no magic number, no checksum, no content size and no dictionary id.

use std::ptr::NonNull;

use zstd_sys::*;

use crate::api::Api;
use crate::decoding::{BLOCK, Decoded, Decoder, decode_large};
use crate::zstd::{Dictionary, Encoding, Fault, checked};

/// Contexts and buffers that grew beyond this with an unusual cell are given back after it.
const KEPT: usize = 16 << 20;

pub const DEFAULT_LEVEL: i64 = 3;

struct Encoder(NonNull<ZSTD_CCtx>);

impl Drop for Encoder {
    fn drop(&mut self) {
        unsafe { ZSTD_freeCCtx(self.0.as_ptr()) };
    }
}

/// The contexts of one connection.
pub struct Codec {
    api: Api,
    compact: Option<Decoder>,
    full: Option<Decoder>,
    room: Vec<u8>,
    encoder: Option<(Encoder, Encoding, bool)>,
    frame: Vec<u8>,
}

impl Codec {
    pub fn new(api: Api) -> Codec {
        Codec { api, compact: None, full: None, room: Vec::new(), encoder: None, frame: Vec::new() }
    }

    /// The value of a frame of at most `limit` bytes.
    #[inline(always)]
    pub fn decode(
        &mut self,
        frame: &[u8],
        dictionary: Option<&Dictionary>,
        compact: bool,
        limit: usize,
    ) -> Result<Decoded<'_>, Fault> {
        let decoder = if compact { &mut self.compact } else { &mut self.full };
        let decoder = match decoder {
            Some(decoder) => decoder,
            none => {
                self.room.resize(BLOCK, 0);
                none.insert(Decoder::new(compact)?)
            }
        };
        let length = decoder.decode(frame, dictionary, self.room.as_mut_ptr(), BLOCK);
        // Every error code is greater than every length.
        if length <= BLOCK && length <= limit && !frame.is_empty() {
            return Ok(Decoded::Kept(unsafe { self.room.get_unchecked(..length) }));
        }
        decode_large(self.api, decoder, frame, dictionary, compact, limit, length)
    }

    /// The frame of a value, decoded again and compared before it is given. It stays until the next use of the codec.
    pub fn encode(
        &mut self,
        value: &[u8],
        encoding: &Encoding,
        dictionary: Option<&Dictionary>,
        compact: bool,
    ) -> Result<&[u8], Fault> {
        self.encode_only(value, encoding, compact)?;
        let frame = std::mem::take(&mut self.frame);
        let equal = self.decode(&frame, dictionary, compact, usize::MAX).is_ok_and(|decoded| decoded.bytes() == value);
        self.frame = frame;
        if equal { Ok(&self.frame) } else { Err(Fault::Corrupt("what was encoded does not decode to the value")) }
    }

    /// The frame of a value, until the next use of the codec.
    pub fn encode_only(&mut self, value: &[u8], encoding: &Encoding, compact: bool) -> Result<&[u8], Fault> {
        let encoder = self.encoder_for(encoding, compact)?;
        let bound = unsafe { ZSTD_compressBound(value.len()) };
        self.frame.clear();
        self.frame.try_reserve(bound).map_err(|_| Fault::NoMemory)?;
        unsafe {
            let (into, room) = (self.frame.as_mut_ptr().cast(), self.frame.capacity());
            let length = checked(ZSTD_compress2(encoder, into, room, value.as_ptr().cast(), value.len()))?;
            self.frame.set_len(length);
            if ZSTD_sizeof_CCtx(encoder) > KEPT {
                self.encoder = None;
            }
        }
        Ok(&self.frame)
    }

    /// Gives back what an unusually large cell took.
    pub fn rest(&mut self) {
        if self.frame.capacity() > KEPT {
            self.frame = Vec::new();
        }
    }

    fn encoder_for(&mut self, encoding: &Encoding, compact: bool) -> Result<*mut ZSTD_CCtx, Fault> {
        if let Some((encoder, set, set_compact)) = &self.encoder
            && set.same(encoding)
            && *set_compact == compact
        {
            return Ok(encoder.0.as_ptr());
        }
        let encoder = match self.encoder.take() {
            Some((encoder, ..)) => encoder,
            None => Encoder(NonNull::new(unsafe { ZSTD_createCCtx() }).ok_or(Fault::NoMemory)?),
        };
        let context = encoder.0.as_ptr();
        let set = |parameter, value| checked(unsafe { ZSTD_CCtx_setParameter(context, parameter, value) });
        checked(unsafe { ZSTD_CCtx_reset(context, ZSTD_ResetDirective::ZSTD_reset_session_and_parameters) })?;
        if compact {
            set(ZSTD_cParameter::ZSTD_c_experimentalParam2, 1)?; // the format without magic number
            set(ZSTD_cParameter::ZSTD_c_contentSizeFlag, 0)?;
            set(ZSTD_cParameter::ZSTD_c_checksumFlag, 0)?;
            set(ZSTD_cParameter::ZSTD_c_dictIDFlag, 0)?;
        }
        match encoding {
            Encoding::Level(level) => set(ZSTD_cParameter::ZSTD_c_compressionLevel, *level)?,
            Encoding::Dictionary(dictionary) => {
                checked(unsafe { ZSTD_CCtx_refCDict(context, dictionary.encoder.as_ptr()) })?
            }
        };
        self.encoder = Some((encoder, encoding.clone(), compact));
        Ok(context)
    }
}
