//! Argument and return types whose conversion can't fail.
//!
//! pgrx converts arguments before our code runs, and by panic. These take the datum as it is and decode it
//! later, inside the guard. A payload stays a jsonb datum all the way: as `serde_json::Value` it would be rounded.

use super::random;
use core::ffi::{c_char, c_int};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{direct_function_call_as_datum, pg_sys};
use std::ffi::CStr;

/// A type of ours that is a server type's datum, untouched.
macro_rules! datum_type {
    ($(#[$doc:meta])* $name:ident, $sql:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name(pg_sys::Datum);

        impl $name {
            /// The datum, to bind it to a statement of ours.
            pub fn datum(self) -> pg_sys::Datum {
                self.0
            }
        }

        // SAFETY: keeps the datum as it is; NULL is told apart by the flag.
        unsafe impl<'fcx> ArgAbi<'fcx> for $name {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: reads the datum that the server passed for this argument.
                Self(unsafe { arg.unbox_arg_using_from_datum::<RawDatum>() }.map_or(pg_sys::Datum::null(), |raw| raw.0))
            }

            unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
                // SAFETY: reads the datum that the server passed for this argument, unless that is NULL.
                unsafe { arg.unbox_arg_using_from_datum::<RawDatum>() }.map(|raw| Self(raw.0)).into()
            }
        }

        // SAFETY: the SQL name is that of the datum's type.
        unsafe impl SqlTranslatable for $name {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($name);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
        }
    };
}

/// Any datum, so that pgrx's unboxing hands it over unconverted.
struct RawDatum(pg_sys::Datum);

impl pgrx::FromDatum for RawDatum {
    // SAFETY: nothing is read from the datum, so any is right.
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then_some(Self(datum))
    }
}

datum_type!(
    /// A `text`, perhaps toasted, in the server's encoding.
    Text,
    "text"
);
datum_type!(
    /// A `jsonb`, perhaps toasted.
    Jsonb,
    "jsonb"
);
datum_type!(
    /// A `timestamptz`: microseconds since 2000-01-01 UTC, or one of the infinities.
    Timestamptz,
    "timestamptz"
);
datum_type!(
    /// A `uuid`.
    Uuid,
    "uuid"
);

impl Uuid {
    /// A random one, of version 4, in the current memory context.
    pub fn random() -> Self {
        let mut bytes: [u8; 16] = random::bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        // SAFETY: the server's allocator gives as many bytes as are asked for, or raises.
        unsafe {
            let place = pg_sys::palloc(bytes.len()).cast::<[u8; 16]>();
            place.write(bytes);
            Self(pg_sys::Datum::from(place))
        }
    }

    /// Takes a datum for as long as its memory lives.
    ///
    /// # Safety
    /// `datum` is a valid, non-NULL uuid.
    pub unsafe fn from_raw(datum: pg_sys::Datum) -> Self {
        Self(datum)
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        // SAFETY: the datum points to the sixteen bytes of a uuid.
        unsafe { *self.0.cast_mut_ptr() }
    }

    /// As the server writes it, in lower case.
    pub fn to_text(self) -> String {
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let mut text = String::with_capacity(36);
        for (place, byte) in self.bytes().into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        text
    }
}

datum_type!(
    /// A `text[]` of any shape, perhaps with NULLs.
    TextArray,
    "text[]"
);
datum_type!(
    /// A `bigint[]` of any shape, perhaps with NULLs.
    BigintArray,
    "bigint[]"
);

macro_rules! return_type {
    ($($name:ident),*) => {
        $(
            // SAFETY: hands the datum back as the function's result.
            unsafe impl BoxRet for $name {
                unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
                    // SAFETY: the datum is of this type, and in the caller's memory context where it is a pointer.
                    unsafe { fcinfo.return_raw_datum(self.0) }
                }
            }
        )*
    };
}

return_type!(Jsonb, Text, Timestamptz);

impl Text {
    /// The text in UTF-8, at most `limit` bytes of it. Raises a server error if it can't be converted.
    pub fn to_utf8(self, limit: usize) -> String {
        let bytes = self.bytes();
        let end = bytes.len().min(limit);
        // SAFETY: pointer and length are of one allocation; pg_mbcliplen finds the last whole character.
        let end = unsafe { pg_sys::pg_mbcliplen(bytes.as_ptr().cast(), bytes.len() as c_int, end as c_int) } as usize;
        from_server_encoding(&bytes[..end])
    }

    /// The length in bytes, without detoasting.
    pub fn octets(self) -> usize {
        // SAFETY: the datum is a varlena; this reads its header.
        unsafe { pg_sys::toast_raw_datum_size(self.0) }.saturating_sub(pg_sys::VARHDRSZ)
    }

    /// A copy of a `text` in the current memory context.
    pub fn copied(datum: pg_sys::Datum) -> Text {
        // SAFETY: the callers' datums are texts; the copy is not toasted.
        Text(unsafe { pg_sys::pg_detoast_datum_copy(datum.cast_mut_ptr()) }.into())
    }

    /// The bytes in the server's encoding, for as long as the memory context keeps the detoasted text.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the datum is a text; detoasting gives a pointer that the memory context keeps.
        unsafe {
            let varlena = pg_sys::pg_detoast_datum_packed(self.0.cast_mut_ptr());
            std::slice::from_raw_parts(
                pgrx::varlena::vardata_any(varlena).cast::<u8>(),
                pgrx::varlena::varsize_any_exhdr(varlena),
            )
        }
    }

    /// A `text` datum made of text in the server's encoding, in the current memory context.
    pub fn from_server(bytes: &[u8]) -> Text {
        // SAFETY: pointer and length are of one slice; the server copies it.
        Text(unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as c_int) }.into())
    }

    /// A `text` datum made of UTF-8, in the current memory context.
    pub fn from_utf8(text: &str) -> Text {
        Self::from_server(to_server_encoding(text))
    }
}

impl Jsonb {
    /// Takes a datum for as long as its memory context lives.
    ///
    /// # Safety
    /// `datum` is a valid, non-NULL jsonb.
    pub unsafe fn from_raw(datum: pg_sys::Datum) -> Self {
        Self(datum)
    }

    /// A copy of a `jsonb` in the current memory context.
    pub fn copied(datum: pg_sys::Datum) -> Jsonb {
        // SAFETY: the callers' datums are jsonb; the copy is not toasted.
        Jsonb(unsafe { pg_sys::pg_detoast_datum_copy(datum.cast_mut_ptr()) }.into())
    }

    /// The size as stored, in bytes, without detoasting.
    pub fn octets(self) -> usize {
        // SAFETY: the datum is a varlena; this reads its header.
        unsafe { pg_sys::toast_raw_datum_size(self.0) }
    }

    /// Both objects in one; on equal keys `other` wins.
    pub fn merge(self, other: Jsonb) -> Jsonb {
        // SAFETY: jsonb_concat takes two jsonb and answers one, never NULL.
        let datum = unsafe { direct_function_call_as_datum(pg_sys::jsonb_concat, &[Some(self.0), Some(other.0)]) };
        Jsonb(datum.unwrap_or(pg_sys::Datum::null()))
    }

    /// The JSON text, at most `limit` bytes of it.
    pub fn to_utf8(self, limit: usize) -> String {
        // SAFETY: jsonb_out takes a jsonb and answers a C string in the current memory context.
        let text = unsafe {
            let datum = direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(self.0)]);
            CStr::from_ptr(datum.unwrap_or(pg_sys::Datum::null()).cast_mut_ptr::<c_char>())
        };
        server_text(text.to_bytes(), limit)
    }
}

impl Timestamptz {
    /// Microseconds since 2000-01-01 UTC; `i64::MIN` and `i64::MAX` are the infinities.
    pub fn microseconds(self) -> i64 {
        self.0.value() as i64
    }

    /// A moment in microseconds since 2000-01-01 UTC.
    pub fn at(microseconds: i64) -> Self {
        Self(microseconds.into())
    }

    /// As JSON writes it: ISO 8601, in the session's time zone.
    pub fn to_json(self) -> String {
        /// `MAXDATELEN` of `utils/datetime.h`, and one more.
        const LENGTH: usize = 129;
        let mut buffer = [0 as c_char; LENGTH];
        // SAFETY: the buffer is as long as the server wants it; what it writes there is ASCII and ends with a NUL.
        unsafe {
            pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), self.0, pg_sys::TIMESTAMPTZOID, std::ptr::null());
            CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
        }
    }

    /// As the session's DateStyle and TimeZone write it.
    pub fn to_utf8(self) -> String {
        // SAFETY: timestamptz_out takes a timestamptz and answers a C string.
        let text = unsafe {
            let datum = direct_function_call_as_datum(pg_sys::timestamptz_out, &[Some(self.0)]);
            CStr::from_ptr(datum.unwrap_or(pg_sys::Datum::null()).cast_mut_ptr::<c_char>())
        };
        server_text(text.to_bytes(), 64)
    }
}

impl BigintArray {
    /// Dimensions of the array; 0 for an empty one.
    pub fn dimensions(self) -> i32 {
        // SAFETY: the datum is an array; detoasted, its header can be read.
        unsafe { (*pg_sys::pg_detoast_datum(self.datum().cast_mut_ptr()).cast::<pg_sys::ArrayType>()).ndim }
    }

    /// The members in order, NULLs as `None`.
    pub fn members(self) -> Vec<Option<i64>> {
        // SAFETY: the datum is a bigint[].
        unsafe { pgrx::FromDatum::from_datum(self.datum(), false) }.unwrap_or_default()
    }
}

impl TextArray {
    /// Dimensions of the array; 0 for an empty one.
    pub fn dimensions(self) -> i32 {
        BigintArray(self.0).dimensions()
    }

    /// The members in order, NULLs as `None`.
    pub fn members(self) -> Vec<Option<Text>> {
        let (mut datums, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        // SAFETY: the datum is a text[], whose elements are varlenas aligned as ints; the server fills in two arrays
        // of `count` entries in the current memory context.
        unsafe {
            pg_sys::deconstruct_array(
                pg_sys::pg_detoast_datum(self.datum().cast_mut_ptr()).cast(),
                pg_sys::TEXTOID,
                -1,
                false,
                b'i' as c_char,
                &mut datums,
                &mut nulls,
                &mut count,
            );
            (0..count as usize).map(|place| (!*nulls.add(place)).then(|| Text(*datums.add(place)))).collect()
        }
    }
}

/// A `date`, in days since 2000-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

/// A type that arrays are made of, and how the server stores it.
pub trait Element: Copy {
    const OID: pg_sys::Oid;
    /// Bytes of a value; -1 for a varlena.
    const LENGTH: c_int;
    /// As in `pg_type.typalign`.
    const ALIGNMENT: u8;

    /// The value as a datum of that type.
    fn to_datum(self) -> pg_sys::Datum;
}

macro_rules! element {
    ($($type:ty, $oid:ident, $length:literal, $alignment:literal, $datum:expr;)*) => {
        $(impl Element for $type {
            const OID: pg_sys::Oid = pg_sys::$oid;
            const LENGTH: c_int = $length;
            const ALIGNMENT: u8 = $alignment;

            fn to_datum(self) -> pg_sys::Datum {
                let convert: fn($type) -> pg_sys::Datum = $datum;
                convert(self)
            }
        })*
    };
}

element! {
    i32, INT4OID, 4, b'i', pg_sys::Datum::from;
    i64, INT8OID, 8, b'd', pg_sys::Datum::from;
    Date, DATEOID, 4, b'i', |date| pg_sys::Datum::from(date.0);
    f64, FLOAT8OID, 8, b'd', |value| pg_sys::Datum::from(value.to_bits());
    Timestamptz, TIMESTAMPTZOID, 8, b'd', Timestamptz::datum;
    Text, TEXTOID, -1, b'i', Text::datum;
    Jsonb, JSONBOID, -1, b'i', Jsonb::datum;
}

/// A one-dimensional array made here.
#[derive(Debug, Clone, Copy)]
pub struct Array(pg_sys::Datum);

impl Array {
    /// An array in the current memory context, with NULLs where a member is `None`.
    pub fn of<E: Element>(members: impl IntoIterator<Item = Option<E>>) -> Self {
        let (mut datums, mut nulls) = (Vec::new(), Vec::new());
        for member in members {
            nulls.push(member.is_none());
            datums.push(member.map_or(pg_sys::Datum::null(), E::to_datum));
        }
        let (mut dimension, mut lower_bound) = (datums.len() as c_int, 1);
        // SAFETY: both vectors have `dimension` entries of a type that is stored as `E` says; the server copies
        // what it needs.
        Self(
            unsafe {
                pg_sys::construct_md_array(
                    datums.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                    1,
                    &mut dimension,
                    &mut lower_bound,
                    E::OID,
                    E::LENGTH,
                    E::LENGTH > 0,
                    E::ALIGNMENT as c_char,
                )
            }
            .into(),
        )
    }

    /// An array of texts.
    pub fn of_names(members: &[&str]) -> Self {
        Self::of(members.iter().map(|name| Some(Text::from_utf8(name))))
    }

    /// The datum, to bind it to a statement of ours.
    pub fn datum(self) -> pg_sys::Datum {
        self.0
    }
}

/// As a literal of SQL, as quote_literal() writes it.
pub fn quoted(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Text of the server for messages: at most `limit` bytes, and never an error, whatever it holds.
pub fn server_text(bytes: &[u8], limit: usize) -> String {
    // SAFETY: reads a setting of the database.
    let is_utf8 = unsafe { pg_sys::GetDatabaseEncoding() } == pg_sys::pg_enc::PG_UTF8 as c_int;
    let cut = &bytes[..bytes.len().min(limit)];
    if is_utf8 || cut.is_ascii() {
        String::from_utf8_lossy(cut).into_owned()
    } else {
        // SAFETY: pointer and length are of one slice; the server finds the last whole character.
        let end = unsafe { pg_sys::pg_mbcliplen(bytes.as_ptr().cast(), bytes.len() as c_int, cut.len() as c_int) };
        from_server_encoding(&bytes[..end as usize])
    }
}

/// Text of the server in UTF-8. A database in SQL_ASCII may hold what isn't text in any encoding: a byte that is none is
/// told as \xff is.
pub fn legible(bytes: &[u8]) -> String {
    // SAFETY: reads a setting of the database.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    if encoding != pg_sys::pg_enc::PG_SQL_ASCII as c_int {
        return from_server_encoding(bytes);
    }
    bytes.utf8_chunks().fold(String::new(), |text, chunk| {
        let others = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        text + chunk.valid() + &others.collect::<String>()
    })
}

/// Converts from the database's encoding to UTF-8. A database in SQL_ASCII may hold what isn't: that raises.
fn from_server_encoding(bytes: &[u8]) -> String {
    if bytes.is_ascii() {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    // SAFETY: pointer and length are of one slice. The result is either that pointer or a C string.
    unsafe {
        let start = bytes.as_ptr().cast::<c_char>();
        let utf8 = pg_sys::pg_server_to_any(start, bytes.len() as c_int, pg_sys::pg_enc::PG_UTF8 as c_int);
        if utf8.cast_const() == start {
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            CStr::from_ptr(utf8).to_string_lossy().into_owned()
        }
    }
}

/// Converts from UTF-8 to the database's encoding. A character that it lacks raises.
pub(super) fn to_server_encoding(text: &str) -> &[u8] {
    if text.is_ascii() {
        return text.as_bytes();
    }
    // SAFETY: pointer and length are of one str. The result is either that pointer or a C string in the
    // current memory context, which outlives the call that asked.
    unsafe {
        let start = text.as_ptr().cast::<c_char>();
        let converted = pg_sys::pg_any_to_server(start, text.len() as c_int, pg_sys::pg_enc::PG_UTF8 as c_int);
        if converted.cast_const() == start { text.as_bytes() } else { CStr::from_ptr(converted).to_bytes() }
    }
}
