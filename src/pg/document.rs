//! Makes a jsonb object of what Rust knows and of documents that the server made, without text in between. As text,
//! read by the server's parser, a short reply took three times the instructions.

use super::datum::{Jsonb, Text, to_server_encoding};
use super::jsonb;
use core::ffi::{c_char, c_int};
use pgrx::pg_sys::JsonbIteratorToken::{
    self, WJB_BEGIN_ARRAY, WJB_BEGIN_OBJECT, WJB_ELEM, WJB_END_ARRAY, WJB_END_OBJECT, WJB_KEY, WJB_VALUE,
};
use pgrx::pg_sys::{self, jbvType};
use pgrx::{IntoDatum, direct_function_call_as_datum};
use serde_json::{Number, Value};
use std::ffi::CString;
use std::ptr;

/// What a member of the object is.
#[derive(Debug, Clone)]
pub enum Member {
    /// Texts in it have no NUL, which a jsonb can't hold.
    Value(Value),
    Document(Jsonb),
    /// A text in the server's encoding.
    Text(Text),
    Object(Vec<(&'static str, Member)>),
    Array(Vec<Member>),
}

impl Member {
    /// An array of these elements; none of none.
    pub fn list(elements: Vec<Member>) -> Option<Member> {
        (!elements.is_empty()).then_some(Member::Array(elements))
    }

    /// What the server made, if it did.
    pub fn document(&self) -> Option<Jsonb> {
        match self {
            Member::Document(document) => Some(*document),
            _ => None,
        }
    }
}

/// A jsonb of these members, in the current memory context; of those with the same name the last counts.
pub fn object(members: &[(&str, Member)]) -> Jsonb {
    let mut object = Builder { state: ptr::null_mut() };
    let mut whole = object.object(members);
    // SAFETY: the last token has closed the object; all texts that it points to are borrowed by `members` or lie in
    // the current memory context. The result is a copy.
    unsafe { Jsonb::from_raw(pg_sys::JsonbValueToJsonb(&mut whole).into()) }
}

/// The server's own builder.
struct Builder {
    state: *mut pg_sys::JsonbParseState,
}

impl Builder {
    /// Hands the builder a token, and a value where the token has one. Gives what is complete by then.
    fn push(&mut self, token: JsonbIteratorToken::Type, value: Option<pg_sys::JsonbValue>) -> pg_sys::JsonbValue {
        let mut value = value;
        let pointer = value.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: the state is the builder's own, NULL at first; the value is copied, its texts are not. What comes
        // back is NULL or lies in the state.
        unsafe { pg_sys::pushJsonbValue(&mut self.state, token, pointer).as_ref() }.copied().unwrap_or_default()
    }

    /// Adds an object.
    fn object(&mut self, members: &[(&str, Member)]) -> pg_sys::JsonbValue {
        self.push(WJB_BEGIN_OBJECT, None);
        for (name, member) in members {
            self.push(WJB_KEY, Some(string(name)));
            self.member(WJB_VALUE, member);
        }
        self.push(WJB_END_OBJECT, None)
    }

    /// Adds a member, as an element or as a member's value.
    fn member(&mut self, token: JsonbIteratorToken::Type, member: &Member) {
        match member {
            Member::Value(value) => self.value(token, value),
            // The builder takes a scalar out of its container by itself.
            Member::Document(document) => self.push(token, Some(jsonb::whole(*document))),
            Member::Text(text) => self.push(token, Some(string_of(text.bytes()))),
            Member::Object(members) => self.object(members),
            Member::Array(elements) => self.array(elements),
        };
    }

    /// Adds an array.
    fn array(&mut self, elements: &[Member]) -> pg_sys::JsonbValue {
        self.push(WJB_BEGIN_ARRAY, None);
        for element in elements {
            self.member(WJB_ELEM, element);
        }
        self.push(WJB_END_ARRAY, None)
    }

    /// Adds a value, as an element or as a member's.
    fn value(&mut self, token: JsonbIteratorToken::Type, value: &Value) -> pg_sys::JsonbValue {
        match value {
            Value::Null => self.push(token, Some(of_type(jbvType::jbvNull))),
            Value::Bool(truth) => {
                let mut value = of_type(jbvType::jbvBool);
                value.val.boolean = *truth;
                self.push(token, Some(value))
            }
            Value::Number(number) => self.push(token, Some(numeric(number))),
            Value::String(text) => self.push(token, Some(string(text))),
            Value::Array(elements) => {
                self.push(WJB_BEGIN_ARRAY, None);
                for element in elements {
                    self.value(WJB_ELEM, element);
                }
                self.push(WJB_END_ARRAY, None)
            }
            Value::Object(members) => {
                self.push(WJB_BEGIN_OBJECT, None);
                for (name, member) in members {
                    self.push(WJB_KEY, Some(string(name)));
                    self.value(WJB_VALUE, member);
                }
                self.push(WJB_END_OBJECT, None)
            }
        }
    }
}

/// A value of this type, to be filled in.
fn of_type(kind: jbvType::Type) -> pg_sys::JsonbValue {
    pg_sys::JsonbValue { type_: kind, ..Default::default() }
}

/// A string, which lies where `text` does or, converted, in the current memory context.
fn string(text: &str) -> pg_sys::JsonbValue {
    debug_assert!(!text.contains('\0'));
    string_of(to_server_encoding(text))
}

/// A string in the server's encoding, which lies where `bytes` do.
fn string_of(bytes: &[u8]) -> pg_sys::JsonbValue {
    let mut value = of_type(jbvType::jbvString);
    value.val.string.len = bytes.len() as c_int;
    value.val.string.val = bytes.as_ptr().cast::<c_char>().cast_mut();
    value
}

/// A number; one with a fraction as its shortest decimal digits.
fn numeric(number: &Number) -> pg_sys::JsonbValue {
    let mut value = of_type(jbvType::jbvNumeric);
    // SAFETY: both functions answer a numeric in the current memory context; what serde_json writes is a number to
    // numeric_in, which takes a C string, a type that it does not look at, and a type modifier.
    value.val.numeric = unsafe {
        match number.as_i64() {
            Some(whole) => pg_sys::int64_to_numeric(whole),
            None => {
                let digits = CString::new(number.to_string()).unwrap_or_default();
                let arguments = [Some(digits.as_ptr().into()), Some(0.into()), (-1i32).into_datum()];
                direct_function_call_as_datum(pg_sys::numeric_in, &arguments)
                    .unwrap_or(pg_sys::Datum::null())
                    .cast_mut_ptr()
            }
        }
    };
    value
}
