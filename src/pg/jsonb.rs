//! Walks a jsonb one level deep without making text of it: option objects, lists of jobs, bound parameters.

use super::datum::{self, Jsonb, Text, server_text};
use core::ffi::c_char;
use pgrx::pg_sys::JsonbIteratorToken::{WJB_DONE, WJB_ELEM, WJB_KEY, WJB_VALUE};
use pgrx::pg_sys::jbvType::{jbvBinary, jbvBool, jbvNull, jbvNumeric, jbvString};
use pgrx::{direct_function_call_as_datum, pg_sys};
use std::ffi::CStr;

/// Bytes kept of an object's key: longer than any key that we know, short enough for a message.
const MAX_KEY: usize = 256;

/// A member of an array or of an object, with its value at hand.
pub struct Value(pg_sys::JsonbValue);

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Value {
    /// Which of JSON's six kinds this is.
    pub fn kind(&self) -> Kind {
        match self.0.type_ {
            t if t == jbvNull => Kind::Null,
            t if t == jbvBool => Kind::Boolean,
            t if t == jbvNumeric => Kind::Number,
            t if t == jbvString => Kind::String,
            // SAFETY: the iterator, told to skip what is nested, gives all else as jbvBinary.
            _ => header_kind(unsafe { (*self.0.val.binary.data).header }),
        }
    }

    /// The value as a jsonb of its own, in the current memory context.
    pub fn to_jsonb(&self) -> Jsonb {
        let mut value = self.0;
        // SAFETY: the value came from an iterator over a jsonb that still lives; the result is a copy.
        unsafe { Jsonb::from_raw(pg_sys::JsonbValueToJsonb(&mut value).into()) }
    }

    /// A boolean's value.
    pub fn boolean(&self) -> Option<bool> {
        if self.0.type_ != jbvBool {
            return None;
        }
        // SAFETY: the union holds what the type says.
        Some(unsafe { self.0.val.boolean })
    }

    /// A string's bytes in the server's encoding.
    pub fn string_bytes(&self) -> Option<&[u8]> {
        (self.0.type_ == jbvString).then(|| {
            // SAFETY: the union holds what the type says; the string lies in the jsonb that was walked.
            unsafe {
                let string = self.0.val.string;
                std::slice::from_raw_parts(string.val.cast::<u8>(), string.len as usize)
            }
        })
    }

    /// A string, whatever it holds.
    pub fn legible(&self) -> Option<String> {
        self.string_bytes().map(datum::legible)
    }

    /// A number in its decimal digits, or a string or boolean as it is written; NULL for JSON null.
    pub fn scalar_text(&self, limit: usize) -> Option<String> {
        match self.kind() {
            Kind::Null => None,
            Kind::String => self.string_bytes().map(|bytes| server_text(bytes, limit)),
            Kind::Boolean => self.boolean().map(|b| b.to_string()),
            Kind::Number => Some(self.number_text()),
            Kind::Array | Kind::Object => Some(self.to_jsonb().to_utf8(limit)),
        }
    }

    /// A whole number in range.
    pub fn integer(&self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let text = self.number_text();
        let whole = text
            .split_once('.')
            .map_or(text.as_str(), |(whole, rest)| if rest.bytes().all(|digit| digit == b'0') { whole } else { "" });
        whole.parse().ok()
    }

    /// A number as numeric_out writes it.
    fn number_text(&self) -> String {
        // SAFETY: the union holds what the type says; numeric_out answers a C string.
        unsafe {
            let number: pg_sys::Datum = self.0.val.numeric.into();
            let datum = direct_function_call_as_datum(pg_sys::numeric_out, &[Some(number)]);
            CStr::from_ptr(datum.unwrap_or(pg_sys::Datum::null()).cast_mut_ptr::<c_char>())
        }
        .to_string_lossy()
        .into_owned()
    }
}

/// What the whole document is.
pub fn kind(document: Jsonb) -> Kind {
    // SAFETY: the datum is a jsonb; its root container lies behind the varlena header.
    let header = unsafe { (*root(document)).header };
    if header & pg_sys::JB_FSCALAR == 0 {
        return header_kind(header);
    }
    members(document).next().map_or(Kind::Null, |(_, value)| value.kind())
}

/// Whether the document is `{}`, told by its header.
pub fn is_empty_object(document: Jsonb) -> bool {
    // SAFETY: as in `kind`.
    let header = unsafe { (*root(document)).header };
    header & (pg_sys::JB_FOBJECT | pg_sys::JB_CMASK) == pg_sys::JB_FOBJECT
}

/// The document as a value that is put into another.
pub fn whole(document: Jsonb) -> pg_sys::JsonbValue {
    let mut value = pg_sys::JsonbValue { type_: jbvBinary, ..Default::default() };
    value.val.binary.data = root(document);
    value
}

/// The document's members: of an object with their keys, of an array without; of a scalar that scalar.
pub fn members(document: Jsonb) -> Members {
    // SAFETY: the iterator reads from the detoasted jsonb, which lives as long as the memory context.
    Members { iterator: unsafe { pg_sys::JsonbIteratorInit(root(document)) }, skip: false }
}

/// The members of a value that is itself an array or an object.
pub fn members_of(value: &Value) -> Members {
    debug_assert!(value.0.type_ == jbvBinary);
    // SAFETY: for jbvBinary the union holds the container.
    Members { iterator: unsafe { pg_sys::JsonbIteratorInit(value.0.val.binary.data) }, skip: false }
}

/// A JSON string of this text, in the current memory context.
pub fn of_text(text: Text) -> Jsonb {
    let mut value = pg_sys::JsonbValue { type_: jbvString, ..Default::default() };
    // SAFETY: the string lies in the detoasted text. The result is a copy.
    unsafe {
        let varlena = pg_sys::pg_detoast_datum_packed(text.datum().cast_mut_ptr());
        value.val.string.len = pgrx::varlena::varsize_any_exhdr(varlena) as i32;
        value.val.string.val = pgrx::varlena::vardata_any(varlena).cast_mut();
        Jsonb::from_raw(pg_sys::JsonbValueToJsonb(&mut value).into())
    }
}

/// The string that an object has under this key, in the current memory context.
pub fn text_of(object: Jsonb, key: &str) -> Option<Text> {
    let (_, value) = members(object).find(|(name, _)| name.as_deref() == Some(key))?;
    value.string_bytes().map(Text::from_server)
}

/// A walk over one container.
pub struct Members {
    iterator: *mut pg_sys::JsonbIterator,
    /// Whether the container's own start was passed: only then may nested ones be skipped.
    skip: bool,
}

impl Members {
    /// One step of the server's iterator.
    fn step(&mut self) -> (pg_sys::JsonbIteratorToken::Type, pg_sys::JsonbValue) {
        let mut value = pg_sys::JsonbValue::default();
        // SAFETY: the iterator is over a container that still lives; the server fills the value in.
        let token = unsafe { pg_sys::JsonbIteratorNext(&mut self.iterator, &mut value, self.skip) };
        self.skip = true;
        (token, value)
    }
}

impl Iterator for Members {
    type Item = (Option<String>, Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (token, value) = self.step();
            match token {
                WJB_DONE => return None,
                WJB_ELEM => return Some((None, Value(value))),
                WJB_KEY => {
                    let key = Value(value).scalar_text(MAX_KEY);
                    let (token, value) = self.step();
                    debug_assert!(token == WJB_VALUE);
                    return Some((key, Value(value)));
                }
                _ => {}
            }
        }
    }
}

/// The root container of a document.
fn root(document: Jsonb) -> *mut pg_sys::JsonbContainer {
    // SAFETY: a detoasted jsonb is a varlena header followed by its root container.
    unsafe { &raw mut (*pg_sys::pg_detoast_datum(document.datum().cast_mut_ptr()).cast::<pg_sys::Jsonb>()).root }
}

/// A container's kind by its header.
fn header_kind(header: u32) -> Kind {
    if header & pg_sys::JB_FOBJECT != 0 { Kind::Object } else { Kind::Array }
}
