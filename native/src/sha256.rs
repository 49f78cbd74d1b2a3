//! SHA-256, by which a dictionary is told from one that was changed.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::call::{Call, Outcome, Scalar};

pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `tamp_sha256(blob)`, hexadecimal; NULL for NULL.
pub struct TampSha256;

impl Scalar for TampSha256 {
    fn call(call: &Call) -> Outcome {
        if !call.is_null(0) {
            call.give_text(&sha256_hex(call.bytes(0)));
        }
        Ok(())
    }
}
