//! What every suite that runs on both servers stands on: a world with an API server, an engine and a hook
//! that the test plays.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on must fail, and one that is not run must say so"
)]

pub mod differential;
mod hook;
mod world;

pub use hook::{PlayedHook, worker_program};
pub use world::{Role, Server, World, engine_kubeconfig, not_run, real_kubeconfig};

/// Runs a story on the embedded server alone; why must stand in `tests/one_server.txt`.
///
/// `embedded_story!(name)` makes the test `name::embedded` of `async fn name(world: &World)`.
#[macro_export]
macro_rules! embedded_story {
    ($name:ident) => {
        mod $name {
            $crate::story!(@on embedded $name);
        }
    };
}

/// Runs a story on the embedded server and on the real one, from one source.
///
/// `story!(name)` makes the tests `name::embedded` and `name::real` of `async fn name(world: &World)`.
#[macro_export]
macro_rules! story {
    (@on $server:ident $name:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $server() {
            // The real server may be missing, the embedded one never is.
            let world = $crate::World::$server(stringify!($name)).await;
            let Some(world) = Option::<$crate::World>::from(world) else { return };
            super::$name(&world).await;
            world.end().await;
        }
    };
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        mod $name {
            $crate::story!(@on embedded $name);
            $crate::story!(@on real $name);
        }
    };
}

/// Runs a story about engines in processes of their own on both servers, as [`story!`] does: neither has a
/// virtual clock.
#[macro_export]
macro_rules! real_time_story {
    ($name:ident) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                let world = $crate::World::in_real_time(stringify!($name)).await;
                super::$name(&world).await;
                world.end().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn real() {
                let Some(world) = $crate::World::real(stringify!($name)).await else { return };
                super::$name(&world).await;
                world.end().await;
            }
        }
    };
}
