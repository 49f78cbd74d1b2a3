//! The functions that encode and decode: `zstd_compress`, `zstd_decompress`, the two that views and maintenance use for cells, and
//! `tamp_cell_error`, which says what is wrong with a cell.

use crate::api;
use crate::call::{Call, Failure, Outcome, Scalar};
use crate::decoding::Decoded;
use crate::frames::DEFAULT_LEVEL;
use crate::lookup::{Choice, dictionary, encoding_with};

/// `zstd_compress(data [, level [, dictionary [, compact]]])`: text or a blob as a zstd frame.
pub struct ZstdCompress;

/// `zstd_decompress(frame, is_text [, dictionary [, compact]])`.
pub struct ZstdDecompress;

/// `zstd_compress_col(data, level, dictionary, compact)`: text or a blob as a frame. Without a dictionary (NULL) the value as it is, and
/// other values in any case.
pub struct ZstdCompressCol;

/// `zstd_decompress_col(cell, is_text, dictionary, compact)`: the value of a cell. Without a dictionary (NULL) the cell as it is.
pub struct ZstdDecompressCol;

/// `tamp_cell_error(cell, is_text, dictionary, compact)`: why the cell has no value, NULL where it has one.
pub struct TampCellError;

impl Scalar for ZstdCompress {
    fn call(call: &Call) -> Outcome {
        match call.type_of(0) {
            api::NULL => Ok(()),
            api::TEXT | api::BLOB => compress(call),
            _ => Err("zstd_compress takes text or a blob, not a number".into()),
        }
    }
}

impl Scalar for ZstdCompressCol {
    fn call(call: &Call) -> Outcome {
        if call.is_null(2) || !call.has_bytes(0) {
            call.give_argument(0);
            return Ok(());
        }
        compress(call)
    }
}

fn compress(call: &Call) -> Outcome {
    let count = call.arguments.len();
    let level = level(call, 1)?;
    let choice = if count > 2 { Choice::of(call, 2)? } else { Choice::None };
    let scope = if count > 3 { call.whole(3, "the argument for compact frames")? } else { 0 };
    let dictionary = dictionary(call, &choice, scope)?;
    let encoding = encoding_with(call, dictionary.as_ref(), level)?;
    let value = bytes_to_encode(call)?;
    let mut codec = call.connection.codec.borrow_mut();
    let frame = codec
        .encode(value, &encoding, dictionary.as_deref(), scope != 0)
        .map_err(|fault| fault.told(|reason| format!("value cannot be encoded: {reason} ({choice})")))?;
    if frame.len() > call.connection.length_limit() {
        return Err(Failure::TooBig);
    }
    call.give_bytes(frame, false);
    codec.rest();
    Ok(())
}

/// The level in an argument; zstd's default where it is absent or 0. Negative ones, faster than 1, are zstd's too.
pub fn level(call: &Call, index: usize) -> Outcome<i32> {
    if index >= call.arguments.len() {
        return Ok(DEFAULT_LEVEL as i32);
    }
    let (lowest, highest) = unsafe { (zstd_sys::ZSTD_minCLevel(), zstd_sys::ZSTD_maxCLevel()) };
    let level = call.integer(index);
    let is_number = matches!(call.type_of(index), api::INTEGER | api::FLOAT);
    if !is_number || level < lowest.into() || level > highest.into() || call.real(index) != level as f64 {
        return Err(format!("the compression level is a number from 1 to {highest}").into());
    }
    Ok(if level == 0 { DEFAULT_LEVEL } else { level } as i32)
}

/// From here on SQLite gives U+FFFD for a unit of UTF-16 when it converts it to UTF-8.
const NOT_CONVERTED: u16 = 0xfffe;

/// The bytes of the first argument. Frames hold texts as UTF-8: one that a database in UTF-16 has and SQLite's UTF-8 has not is refused.
fn bytes_to_encode<'call>(call: &Call<'call>) -> Outcome<&'call [u8]> {
    let value = call.arguments[0];
    if call.type_of(0) == api::TEXT && unsafe { call.api.value_encoding(value) } != api::UTF8 {
        let wide = unsafe {
            let start = call.api.value_text16(value).cast::<u16>();
            let length = call.api.value_bytes16(value) as usize / 2;
            if start.is_null() { &[] } else { std::slice::from_raw_parts(start, length) }
        };
        if char::decode_utf16(wide.iter().copied()).any(|character| character.is_err()) {
            return Err("value cannot be encoded: it is not valid UTF-16".into());
        }
        if wide.iter().any(|&unit| unit >= NOT_CONVERTED) {
            return Err("value cannot be encoded: it has the noncharacter U+FFFE or U+FFFF".into());
        }
    }
    Ok(call.bytes(0))
}

impl Scalar for ZstdDecompress {
    fn call(call: &Call) -> Outcome {
        match call.type_of(0) {
            api::NULL => return Ok(()),
            api::BLOB => {}
            _ => return Err("zstd_decompress takes a blob".into()),
        }
        let count = call.arguments.len();
        let choice = if count > 2 { Choice::of(call, 2)? } else { Choice::None };
        let scope = if count > 3 { call.whole(3, "the argument for compact frames")? } else { 0 };
        decompress(call, &choice, scope, "frame")
    }
}

impl Scalar for ZstdDecompressCol {
    #[inline(always)]
    fn call(call: &Call) -> Outcome {
        if call.type_of(2) == api::NULL {
            call.give_argument(0);
            return Ok(());
        }
        match call.type_of(0) {
            api::BLOB => {
                let choice = Choice::of(call, 2)?;
                decompress(call, &choice, call.whole(3, "the argument for compact frames")?, "cell")
            }
            api::TEXT => Err(is_text(&Choice::of(call, 2)?)),
            _ => {
                call.give_argument(0);
                Ok(())
            }
        }
    }
}

fn is_text(choice: &Choice) -> Failure {
    format!("cell cannot be decoded: it is text, not a zstd frame ({choice})").into()
}

#[inline(always)]
fn decompress(call: &Call, choice: &Choice, scope: i64, subject: &str) -> Outcome {
    let text = call.whole(1, "the argument for texts")? != 0;
    with_decoded(call, choice, scope, subject, |decoded| match decoded {
        Decoded::Kept(bytes) => call.give_bytes(bytes, text),
        Decoded::Memory(memory) => {
            let (start, length) = memory.release();
            call.give_memory(start, length, text);
        }
    })
}

#[inline(always)]
fn with_decoded(call: &Call, choice: &Choice, scope: i64, subject: &str, body: impl FnOnce(Decoded)) -> Outcome {
    let dictionary = match dictionary(call, choice, scope) {
        Ok(dictionary) => dictionary,
        Err(Failure::Message(reason)) => return Err(format!("{subject} cannot be decoded: {reason}").into()),
        Err(failure) => return Err(failure),
    };
    let limit = call.connection.length_limit();
    let mut codec = call.connection.codec.borrow_mut();
    match codec.decode(call.bytes(0), dictionary.as_deref(), scope != 0, limit) {
        Ok(decoded) => {
            body(decoded);
            Ok(())
        }
        Err(fault) => Err(fault.told(|reason| format!("{subject} cannot be decoded: {reason} ({choice})"))),
    }
}

impl Scalar for TampCellError {
    fn call(call: &Call) -> Outcome {
        if call.is_null(2) || !call.has_bytes(0) {
            return Ok(());
        }
        let outcome = Choice::of(call, 2).and_then(|choice| match call.type_of(0) {
            api::TEXT => Err(is_text(&choice)),
            _ => with_decoded(call, &choice, call.integer(3), "cell", |_| {}),
        });
        match outcome {
            Err(Failure::Message(reason)) => call.give_text(&reason),
            Err(Failure::TooBig) => call.give_text("cell cannot be decoded: its value is longer than SQLite allows"),
            other => return other,
        }
        Ok(())
    }
}
