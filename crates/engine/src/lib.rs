//! The engine: runs controllers that are functions.
//!
//! A CompositeController names a parent type, child types and hooks; a DecoratorController names types of
//! objects that it adds to. The engine watches them, asks the hook what a parent's children and status
//! should be, plans the difference in pure functions and carries it out through `runtime`. It never talks
//! to a socket itself, a hook never sees a client, and the planner never awaits.

mod adopters;
mod answer;
mod children;
mod composite;
mod condition;
mod context;
mod controller;
mod credentials;
mod customize;
mod decorator;
mod desired;
mod error;
mod etag;
mod exchange;
mod finalizers;
mod hook;
mod instance;
mod manager;
mod mask;
mod meter;
mod observe;
mod options;
mod outlook;
mod parent;
mod plan;
mod program;
mod queue;
mod record;
mod recorder;
mod related;
mod release;
mod repeats;
mod request;
mod revision;
mod rolling;
mod rollout;
mod selector;
mod server_side;
mod status;
mod strategy;
mod sync;
mod takeover;
mod target;
mod told;
mod trial;
mod types;
mod views;

pub use controller::{Controller, ControllerError, Form, check};
pub use credentials::Credentials;
pub use hook::{Hooks, Lifetime, Program, Webhook};
pub use manager::Engine;
pub use mask::{MASK, mask};
pub use options::{EngineOptions, Record, Workers};
pub use outlook::{Outlook, OutlookError, Question, Scene, Step};
pub use record::{HookCall, SyncDetail, SyncRecord, SyncResult};
pub use selector::Ownership;
pub use strategy::{ApplyStrategy, StrategyError};
pub use views::{AskError, ControllerView, ParentOutlook};
