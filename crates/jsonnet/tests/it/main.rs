//! Tests of the crate from outside, with real worker processes.

mod harness;
mod workers;
