//! The API server as clients see it.

mod client;
mod custom;
mod discovery;
mod foreign;
mod lists;
mod namespaces;
mod objects;
mod sockets;
mod watches;
mod world;
