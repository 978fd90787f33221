//! What people see of controllers: tables, trees, explanations and differences.

pub mod family;
pub mod syncs;
pub(crate) mod table;
pub mod unified;
