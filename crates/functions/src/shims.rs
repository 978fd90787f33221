//! The programs that serve functions of a language: each a small web server over a private socket.
//!
//! A shim reads the program that `MOD_NAME` and `FUNC_HANDLER` name, says on its standard input, which is a
//! socket, `{}` or `{"error": "..."}`, and then answers requests over the socket that `WINDLASS_SOCKET` names.

use std::{ffi::OsString, fs, io, iter, path::Path};

use crate::{host::Settings, runtimes::Language};

mod jsonnet;

pub use self::jsonnet::jsonnet_main;

/// The first argument of this binary when it is to serve a Jsonnet function.
pub const JSONNET_ARGUMENT: &str = "function-jsonnet";

/// The package that serves a Go program, which is compiled with it.
pub(crate) const GO_SERVER: &str = include_str!("shims/go/server.go");
/// The package of the types that Go functions are called with.
pub(crate) const GO_TYPES: &str = include_str!("shims/go/functions.go");
/// The module of that package.
pub(crate) const GO_TYPES_MODULE: &str = include_str!("shims/go/types.mod");

const PYTHON: &str = include_str!("shims/python.py");
const NODEJS: &str = include_str!("shims/nodejs.js");

/// Writes what is needed to a directory, and returns the command that serves a function.
pub(crate) fn command(
    settings: &Settings,
    interpreter: &Path,
    dir: &Path,
) -> io::Result<Vec<OsString>> {
    let shim = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).map(|()| path.into_os_string())
    };
    Ok(match settings.language {
        Language::Python => {
            vec![interpreter.into(), "-u".into(), shim("windlass_shim.py", PYTHON)?]
        }
        Language::Nodejs => {
            let heap = settings.heap_limit().map(|size| format!("--max-old-space-size={size}"));
            let program = iter::once(interpreter.into()).chain(heap.map(OsString::from));
            program.chain([shim("windlass-shim.js", NODEJS)?]).collect()
        }
        Language::Jsonnet => vec![interpreter.into(), JSONNET_ARGUMENT.into()],
        // What was compiled serves itself.
        Language::Go => vec![interpreter.into()],
    })
}
