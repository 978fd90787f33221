//! The API server as clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![expect(clippy::needless_pass_by_value, reason = "bodies read better as values")]

mod aids;
mod apply;
mod client;
mod controllers;
mod custom;
mod discovery;
mod errors;
mod executors;
mod faults;
mod foreign;
mod inputs;
mod lists;
mod mutated;
mod namespaces;
mod objects;
mod recorded;
mod refusals;
mod seed;
mod services;
mod settings;
mod sockets;
mod tokens;
mod watches;
mod world;
