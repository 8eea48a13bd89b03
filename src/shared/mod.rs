//! What lives in shared memory when the library is preloaded, and in the backend alone when it is not.

pub mod counters;
