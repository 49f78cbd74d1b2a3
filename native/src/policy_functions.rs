//! The functions whose work the policy does.

use crate::call::{Call, Outcome, Scalar};
use crate::engine::call_policy;

/// `zstd_enable_transparent(json)`: compresses a column from now on. `Done!`
pub struct ZstdEnableTransparent;

/// `zstd_incremental_maintenance(seconds, load)`: 1 when there is more to do, else 0.
pub struct ZstdIncrementalMaintenance;

/// `tamp(command, json)`: a command of tamp's, with its options; its result as JSON.
pub struct Tamp;

impl Scalar for ZstdEnableTransparent {
    fn call(call: &Call) -> Outcome {
        call_policy("zstd_enable_transparent", call)
    }
}

impl Scalar for ZstdIncrementalMaintenance {
    fn call(call: &Call) -> Outcome {
        call_policy("zstd_incremental_maintenance", call)
    }
}

impl Scalar for Tamp {
    fn call(call: &Call) -> Outcome {
        call_policy("tamp", call)
    }
}
