//! File systems, of which SQL knows nothing.

use core::ffi::CStr;
use pgrx::pg_sys;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a table's first file, which is of a gigabyte at most; 0 where there is none. Without opening the table, which
/// takes a new session ten times as long.
pub fn size_of(table: u32) -> u64 {
    // SAFETY: takes an oid, and answers a text or NULL, whatever table that is of.
    let path: Option<String> =
        unsafe { pgrx::direct_function_call(pg_sys::pg_relation_filepath, &[Some(pg_sys::Datum::from(table))]) };
    path.and_then(|path| std::fs::metadata(data_directory().join(path)).ok()).map_or(0, |file| file.len())
}

/// A number of bytes as pg_size_pretty() writes it.
pub fn pretty(bytes: u64) -> String {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    // SAFETY: takes a bigint and answers a text, never NULL.
    let text: Option<String> =
        unsafe { pgrx::direct_function_call(pg_sys::pg_size_pretty, &[Some(pg_sys::Datum::from(bytes))]) };
    text.unwrap_or_default()
}

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub used: u64,
    /// What the server's user can still write; some file systems keep a part for root.
    pub free: u64,
}

impl Room {
    /// How full it is, as df tells it.
    pub fn percent(self) -> f64 {
        100.0 * self.used as f64 / self.used.saturating_add(self.free).max(1) as f64
    }
}

/// The room where a place below the data directory lies, behind symbolic links too; `None` where the system can't say.
/// It asks the kernel, which for a network's file system may wait for the network.
pub fn room(below_data_directory: &str) -> Option<Room> {
    let path = CString::new(data_directory().join(below_data_directory).as_os_str().as_bytes()).ok()?;
    // SAFETY: a struct of integers, for which zeroes are values.
    let mut answer: libc::statvfs = unsafe { core::mem::zeroed() };
    // SAFETY: the path is a C string and the answer ours; the call keeps neither.
    if unsafe { libc::statvfs(path.as_ptr(), &mut answer) } != 0 {
        return None;
    }
    let used = answer.f_blocks.saturating_sub(answer.f_bfree);
    // A network's file system may say anything.
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Some(Room { used: bytes(used), free: bytes(answer.f_bavail) })
}

/// Where the server's data is.
fn data_directory() -> &'static Path {
    // SAFETY: set when the server started, and never changed.
    let data = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    Path::new(std::ffi::OsStr::from_bytes(data.to_bytes()))
}
