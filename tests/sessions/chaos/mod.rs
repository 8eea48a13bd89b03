//! Workers and servers that are killed, stopped and crashed, and what holds nevertheless. Each test has a short form for
//! every day; `make test-long` runs the long ones.

mod effects;
mod fleet;
mod forgotten;
mod keys;
mod poison;
mod servers;
mod workers;
