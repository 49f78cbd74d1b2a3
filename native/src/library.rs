//! What this library is, and its entry into a connection: every function with its arguments and flags.

use std::ffi::{CStr, c_int};

use crate::api::{self, Api, Db};
use crate::call::{Aggregate, Call, Outcome, Scalar, Slot, aggregate_of, scalar_of};
use crate::cells::{TampCellError, ZstdCompress, ZstdCompressCol, ZstdDecompress, ZstdDecompressCol};
use crate::connection::Connection;
use crate::policy_functions::{Tamp, ZstdEnableTransparent, ZstdIncrementalMaintenance};
use crate::sha256::TampSha256;
use crate::training_functions::{
    TampDictionary, TampRelease, TampSample, TampSamples, TampTrain, TampTrial, ZstdTrainDict, ZstdTrainDictAndSave,
};

/// Usable in views, triggers and indexes, also of a database that is not trusted.
const PURE: c_int = api::UTF8 | api::DETERMINISTIC | api::INNOCUOUS;
/// Usable at the top of a statement only.
const DIRECT: c_int = api::UTF8 | api::DIRECTONLY;

/// `tamp_library()`: versions, as JSON.
struct TampLibrary;

impl Scalar for TampLibrary {
    fn call(call: &Call) -> Outcome {
        let (zstd, sqlite) =
            unsafe { (CStr::from_ptr(zstd_sys::ZSTD_versionString()), CStr::from_ptr(call.api.libversion())) };
        let (version, zstd, sqlite) = (env!("CARGO_PKG_VERSION"), zstd.to_string_lossy(), sqlite.to_string_lossy());
        call.give_text(&format!(r#"{{"version":"{version}","zstd":"{zstd}","sqlite":"{sqlite}"}}"#));
        Ok(())
    }
}

struct Registration {
    api: Api,
    db: *mut Db,
    connection: *mut Connection,
    code: c_int,
}

impl Registration {
    fn scalar<F: Scalar>(&mut self, name: &CStr, arguments: &[c_int], flags: c_int) {
        let function = scalar_of::<F>(unsafe { &(*self.connection).slot });
        for &count in arguments {
            self.create(name, count, flags, Some(function), None, None);
        }
    }

    fn aggregate<A: Aggregate>(&mut self, name: &CStr, arguments: c_int, flags: c_int) {
        let (step, last) = aggregate_of::<A>(unsafe { &(*self.connection).slot });
        self.create(name, arguments, flags, None, Some(step), Some(last));
    }

    fn create(
        &mut self,
        name: &CStr,
        count: c_int,
        flags: c_int,
        function: Option<api::XFunc>,
        step: Option<api::XFunc>,
        last: Option<api::XFinal>,
    ) {
        if self.code != api::OK {
            return;
        }
        unsafe {
            // SQLite gives the reference up by itself, also when it refuses the function.
            (*self.connection).hold();
            let (data, destructor) = (self.connection.cast(), Some(Connection::release as api::Destructor));
            self.code = self.api.create_function_v2(
                self.db,
                name.as_ptr(),
                count,
                flags,
                data,
                function,
                step,
                last,
                destructor,
            );
        }
    }
}

/// Gives a connection all functions.
/// # Safety
/// `api` and `db` must be what SQLite gave to the entry point.
pub unsafe fn register(api: Api, db: *mut Db) -> Result<(), String> {
    let version = unsafe { api.libversion_number() };
    if version < api::OLDEST {
        let (major, minor) = (version / 1_000_000, version / 1000 % 1000);
        return Err(format!("tamp needs SQLite 3.40 or newer; this is {major}.{minor}"));
    }
    let slot = Slot::of(api).ok_or("tamp is already in use by eight other SQLite libraries of this process")?;
    let connection = Connection::new(api, db, slot);
    let mut to = Registration { api, db, connection, code: api::OK };
    to.scalar::<ZstdCompress>(c"zstd_compress", &[1, 2, 3, 4], PURE);
    to.scalar::<ZstdDecompress>(c"zstd_decompress", &[2, 3, 4], PURE);
    to.scalar::<ZstdCompressCol>(c"zstd_compress_col", &[4], PURE);
    to.scalar::<ZstdDecompressCol>(c"zstd_decompress_col", &[4], PURE);
    to.aggregate::<ZstdTrainDict>(c"zstd_train_dict", 3, DIRECT);
    to.aggregate::<ZstdTrainDictAndSave>(c"zstd_train_dict_and_save", 4, DIRECT);
    to.aggregate::<TampSample>(c"tamp_sample", 2, DIRECT);
    to.scalar::<TampSamples>(c"tamp_samples", &[1], DIRECT);
    to.scalar::<TampTrain>(c"tamp_train", &[4, 5], DIRECT);
    to.scalar::<TampTrial>(c"tamp_trial", &[3, 4], DIRECT);
    to.scalar::<TampDictionary>(c"tamp_dictionary", &[1], DIRECT);
    to.scalar::<TampRelease>(c"tamp_release", &[1], DIRECT);
    to.scalar::<TampSha256>(c"tamp_sha256", &[1], PURE);
    to.scalar::<TampCellError>(c"tamp_cell_error", &[4], PURE);
    to.scalar::<TampLibrary>(c"tamp_library", &[0], DIRECT);
    to.scalar::<ZstdEnableTransparent>(c"zstd_enable_transparent", &[1], DIRECT);
    to.scalar::<ZstdIncrementalMaintenance>(c"zstd_incremental_maintenance", &[2], DIRECT);
    to.scalar::<Tamp>(c"tamp", &[1, 2], DIRECT);
    let code = to.code;
    unsafe { Connection::release(connection.cast()) };
    if code == api::OK {
        return Ok(());
    }
    let reason = unsafe { CStr::from_ptr(api.errmsg(db)) }.to_string_lossy();
    Err(format!("tamp's functions could not be created: {reason}"))
}
