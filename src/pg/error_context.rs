//! Catches what pgrx drops of a server error: constraint, table, context and the untranslated message.
//!
//! pgrx has flushed the server's `ErrorData` before Rust sees the panic. An error context callback runs while it
//! is still whole, so one copies it there.

use super::{compat, datum};
use pgrx::{pg_guard, pg_sys};
use std::marker::PhantomPinned;
use std::ptr;

/// Bytes kept of each text of an error: a failed Rust allocation would abort the server process.
const MAX_TEXT: usize = 64 * 1024;

/// What is known of a server error, as text in UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub sqlstate: i32,
    pub message: String,
    /// The message's format before translation and without its values, so that it is no leak and can be compared.
    pub message_id: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub context: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

/// A callback on the server's error context stack, from `watch` to the end of its closure.
struct Watch {
    callback: pg_sys::ErrorContextCallback,
    /// Where copies are made: the caller's memory context, which outlives the subtransaction.
    memory: pg_sys::MemoryContext,
    last: *mut pg_sys::ErrorData,
    _pinned: PhantomPinned,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: ours was on top when the closure began, and whoever pushed above it has popped: pgrx puts
        // the stack back before it unwinds. Assigning can't raise.
        unsafe { pg_sys::error_context_stack = self.callback.previous };
    }
}

/// Runs `work`, which must not unwind, and returns with its result the facts of the last server error that was
/// raised inside it, caught there or not.
pub fn watch<R>(work: impl FnOnce() -> R) -> (R, Option<Facts>) {
    let mut watch = Watch {
        callback: pg_sys::ErrorContextCallback { previous: ptr::null_mut(), callback: None, arg: ptr::null_mut() },
        // SAFETY: read on the backend's one thread.
        memory: unsafe { pg_sys::CurrentMemoryContext },
        last: ptr::null_mut(),
        _pinned: PhantomPinned,
    };
    let here: *mut Watch = &mut watch;
    // SAFETY: `watch` stays where it is until the end of this function, and its Drop takes the callback off
    // the stack before that.
    unsafe {
        (*here).callback.previous = pg_sys::error_context_stack;
        (*here).callback.callback = Some(remember);
        (*here).callback.arg = here.cast();
        pg_sys::error_context_stack = &raw mut (*here).callback;
    }
    let result = work();
    // SAFETY: as above; `last` was made by CopyErrorData in `memory`, which still exists.
    let facts = unsafe {
        let last = (*here).last;
        if last.is_null() { None } else { Some(facts_of(last)) }
    };
    (result, facts)
}

/// Copies the error that is being reported, unless it is the same one on its way through pgrx, which knows less.
#[pg_guard]
unsafe extern "C-unwind" fn remember(arg: *mut core::ffi::c_void) {
    // SAFETY: called by errfinish with the argument that `watch` set, while that frame is alive. It leaves
    // CurrentMemoryContext as ErrorContext, where CopyErrorData may not run.
    unsafe {
        let class = compat::bare::geterrcode() & 0xfff;
        if class == 0 || class == pgrx_class(b"01") || class == pgrx_class(b"02") {
            return;
        }
        let watch: *mut Watch = arg.cast();
        let reporting = pg_sys::MemoryContextSwitchTo((*watch).memory);
        let error = pg_sys::CopyErrorData();
        pg_sys::MemoryContextSwitchTo(reporting);
        let last = (*watch).last;
        if (*error).elevel < pg_sys::PGERROR as i32 || (!last.is_null() && is_echo(error, last)) {
            pg_sys::FreeErrorData(error);
            return;
        }
        (*watch).last = error;
        if !last.is_null() {
            pg_sys::FreeErrorData(last);
        }
    }
}

/// The two characters of a SQLSTATE's class as the server packs them (`MAKE_SQLSTATE`, six bits each).
const fn pgrx_class(class: &[u8; 2]) -> i32 {
    (((class[0] - b'0') & 0x3f) as i32) | ((((class[1] - b'0') & 0x3f) as i32) << 6)
}

/// Whether `error` is `last` raised again by pgrx, which reports every message through the format `%s`.
///
/// # Safety
/// Both are whole `ErrorData`.
unsafe fn is_echo(error: *const pg_sys::ErrorData, last: *const pg_sys::ErrorData) -> bool {
    // SAFETY: both are whole ErrorData made by CopyErrorData; their texts are NULL or NUL-terminated.
    unsafe {
        (*error).sqlerrcode == (*last).sqlerrcode
            && bytes((*error).message_id) == Some(b"%s")
            && bytes((*error).message) == bytes((*last).message)
    }
}

/// The bytes of a C string, none for NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives as long as the result is used.
unsafe fn bytes<'a>(text: *const core::ffi::c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's text is NULL or NUL-terminated.
    (!text.is_null()).then(|| unsafe { core::ffi::CStr::from_ptr(text) }.to_bytes())
}

/// Turns the server's record into text of our own and frees it.
///
/// # Safety
/// `error` was made by CopyErrorData, and nobody uses it afterwards.
unsafe fn facts_of(error: *mut pg_sys::ErrorData) -> Facts {
    // SAFETY: as for `bytes`; the encoding of an error's texts is the server's.
    let text = |value: *const core::ffi::c_char| unsafe { bytes(value) }.map(|b| datum::server_text(b, MAX_TEXT));
    // SAFETY: the record is whole, and freed once, after its last use.
    unsafe {
        let facts = Facts {
            sqlstate: (*error).sqlerrcode,
            message: text((*error).message).unwrap_or_default(),
            message_id: text((*error).message_id).unwrap_or_default(),
            detail: text((*error).detail),
            hint: text((*error).hint),
            context: text((*error).context),
            schema: text((*error).schema_name),
            table: text((*error).table_name),
            column: text((*error).column_name),
            constraint: text((*error).constraint_name),
        };
        pg_sys::FreeErrorData(error);
        facts
    }
}
