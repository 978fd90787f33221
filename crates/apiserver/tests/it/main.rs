//! The API server as clients see it.

mod objects;
mod world;
