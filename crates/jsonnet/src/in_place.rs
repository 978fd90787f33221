//! A program that is evaluated in the process of its caller, which must be one that may be killed.

use std::{path::Path, sync::Arc};

use crate::{
    bundle::Bundle,
    closure,
    failure::{CallError, ErrorKind},
    interpreter::{Answer, Interpreter, Session},
};

/// After so many calls the program's state is dropped: names of fields are never freed otherwise.
const MAX_CALLS: u32 = 1000;

/// A function in a file, or a value that stands for one.
pub struct InPlace {
    bundle: Arc<Bundle>,
    session: Option<Session>,
    calls: u32,
}

impl InPlace {
    /// Reads and evaluates a file of a directory, of which nothing leads outside. Its value is the function, or an
    /// object with a field that is.
    ///
    /// # Errors
    ///
    /// [`CallError`] if there is no such function.
    pub fn load(dir: &Path, file: &str, field: &str) -> Result<Self, CallError> {
        let bundle = closure::read_within(dir, &picked(file, field))
            .map_err(|error| CallError::new(ErrorKind::Load, error.to_string()))?;
        let mut program = Self { bundle: Arc::new(bundle), session: None, calls: 0 };
        program.session = Some(program.start()?);
        Ok(program)
    }

    /// Calls the function with those of the arguments, JSON texts by name, that it declares. What it traced is
    /// told line by line.
    ///
    /// # Errors
    ///
    /// [`CallError`] if it has no answer.
    pub fn call(
        &mut self,
        arguments: &[(&str, &[u8])],
        mut trace: impl FnMut(&str),
    ) -> Result<Answer, CallError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.start()?,
        };
        let answer = session.answer(arguments);
        for traced in session.take_traces() {
            trace(&format!("TRACE: {} {}", traced.place, traced.message));
        }
        self.calls += 1;
        // What was under evaluation when a call failed stays so for ever.
        if answer.is_ok() && !self.calls.is_multiple_of(MAX_CALLS) {
            session.recycle();
            self.session = Some(session);
        }
        answer
    }

    fn start(&self) -> Result<Session, CallError> {
        let mut session = Session::load(Arc::clone(&self.bundle))?;
        session.evaluate()?;
        Ok(session)
    }
}

/// Returns the program that picks a function out of a file.
fn picked(file: &str, field: &str) -> String {
    // Strings of JSON are strings of Jsonnet as well.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let (path, field) = (text(&format!("./{file}")), text(field));
    let missing = text(&format!("`{file}` is no function and has no field "));
    format!(
        "local value = import {path}; \
         if std.isFunction(value) then value \
         else if std.isObject(value) && std.objectHasAll(value, {field}) then value[{field}] \
         else error {missing} + '`' + {field} + '`'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<InPlace, CallError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("it's.jsonnet"), text).unwrap();
        InPlace::load(dir.path(), "it's.jsonnet", "sync")
    }

    fn called(text: &str) -> Result<Answer, CallError> {
        let arguments: [(&str, &[u8]); 2] = [("request", br#"{"n": 2}"#), ("event", b"7")];
        load(text)?.call(&arguments, |_| ())
    }

    #[test]
    fn a_function_gets_what_it_declares() {
        for (text, expected) in [
            ("function(request) request.n + 1", "3"),
            ("function(event, request) [event, request.n]", "[7, 2]"),
            ("function() 1", "1"),
            ("function(event, more=5) event + more", "12"),
            ("{ sync(event):: event }", "7"),
            ("{ sync: null }", "null"),
        ] {
            assert_eq!(called(text), Ok(Answer::Json(expected.to_owned())), "{text}");
        }
        assert_eq!(called("function() 'a\\nb'"), Ok(Answer::Text("a\nb".to_owned())));
    }

    #[test]
    fn what_is_no_function_is_told_before_any_call() {
        for (text, words) in [
            ("{ other(request):: 1 }", "`it's.jsonnet` is no function and has no field `sync`"),
            ("[]", "is no function and has no field `sync`"),
            ("error 'broken'", "broken"),
            ("import 'missing'", "Couldn't open import \"missing\""),
            ("{", "it's.jsonnet:1:2"),
        ] {
            let error = load(text).err().unwrap();
            assert!(error.text.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_failed_call_spoils_no_other() {
        let mut program =
            load("function(request) if request == 0 then error 'no' else request").unwrap();
        let mut call = |request: &str| program.call(&[("request", request.as_bytes())], |_| ());
        assert!(call("0").unwrap_err().text.contains("no"));
        assert_eq!(call("1"), Ok(Answer::Json("1".to_owned())));
        assert!(called("function(request, needed) 1").unwrap_err().text.contains("needed"));
        let deep = called("local f(n) = 1 + f(n + 1); function() f(0)").unwrap_err();
        assert_eq!(deep.kind, ErrorKind::Stack);
    }

    #[test]
    fn traces_are_told() {
        let mut program = load("function() std.trace('seen', 1)").unwrap();
        let mut lines = Vec::new();
        program.call(&[], |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["TRACE: it's.jsonnet:1 seen"]);
    }
}
