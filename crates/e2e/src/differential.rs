//! Pure: the differential harness: request sequences, what servers answer, and where two answers differ.
//!
//! Scripts are data. The ones of a kind are made from its fixtures, the others are written by hand. What
//! sends them is the test; here nothing does I/O.

mod compare;
mod kind;
mod lists;
mod matrix;
mod normal;
mod owners;
mod script;

pub use compare::{Difference, differences};
pub use kind::{Kind, required_cells};
pub use lists::{Allowed, Pending, judge};
pub use matrix::matrix;
pub use normal::normalise;
pub use script::{Answer, Kept, Script, Step, filled, filled_text};
