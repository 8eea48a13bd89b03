//! The checker's runs. The names of the tests are the promises.

mod mistakes;
mod promises;
mod runs;
mod walks;
