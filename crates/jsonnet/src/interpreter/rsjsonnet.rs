//! Pure: the interpreter `rsjsonnet-lang` as an [`Interpreter`].

use std::{collections::HashMap, sync::Arc};

use rsjsonnet_lang::{
    arena::Arena,
    interner::InternedStr,
    program::{
        Callbacks, EvalError, EvalErrorKind, EvalStackTraceItem, ImportError, NativeError, Program,
        Thunk, Value,
    },
    span::{SourceId, SpanContext, SpanId},
};
use self_cell::self_cell;

use super::{
    Answer, Form, Interpreter, Trace, natives,
    report::{self, Place},
    values,
};
use crate::{
    bundle::{Binding, Bound, Bundle, Target},
    failure::{CallError, ErrorKind},
};

/// Stands before the first line of every file, so that `std` has all functions of the language.
const PREFIX: &str =
    "local __windlass = std; local std = (import 'windlass:prelude')(__windlass); ";

const PRELUDE_PATH: &str = "windlass:prelude";
const PRELUDE: &str = include_str!("prelude.libsonnet");

/// The longest message of one trace, and the most traces of one call.
const MAX_TRACE: usize = 64 * 1024;
const MAX_TRACES: usize = 100;

self_cell!(
    struct Cell {
        owner: Arena,
        #[not_covariant]
        dependent: Loaded,
    }
);

/// A program in the interpreter's memory; all of it is freed when this is dropped.
pub(crate) struct Session(Cell);

impl Session {
    /// Evaluates the program itself, but calls nothing.
    pub(crate) fn evaluate(&mut self) -> Result<(), CallError> {
        self.0.with_dependent_mut(|_, loaded| loaded.evaluate_main())
    }

    /// Evaluates the program with those of some arguments, JSON texts by name, that it declares.
    ///
    /// As after any call, a program that failed is spent.
    pub(crate) fn answer(&mut self, arguments: &[(&str, &[u8])]) -> Result<Answer, CallError> {
        self.0.with_dependent_mut(|_, loaded| loaded.answer(arguments))
    }
}

impl Interpreter for Session {
    fn load(bundle: Arc<Bundle>) -> Result<Self, CallError> {
        Cell::try_new(Arena::new(), |arena| Loaded::new(arena, &bundle)).map(Self)
    }

    fn call(&mut self, request: &[u8], form: Form) -> Result<String, CallError> {
        self.0.with_dependent_mut(|_, loaded| loaded.call(request, form))
    }

    fn take_traces(&mut self) -> Vec<Trace> {
        self.0.with_dependent_mut(|_, loaded| std::mem::take(&mut loaded.host.traces))
    }

    fn take_undeclared(&mut self) -> Vec<String> {
        self.0.with_dependent_mut(|_, loaded| std::mem::take(&mut loaded.undeclared))
    }

    fn recycle(&mut self) {
        self.0.with_dependent_mut(|_, loaded| loaded.program.maybe_gc());
    }
}

struct Loaded<'p> {
    program: Program<'p>,
    host: Host<'p>,
    main: Main<'p>,
    tlas: Vec<(InternedStr<'p>, Thunk<'p>)>,
    undeclared: Vec<String>,
    /// The arguments of answers that the function does not declare; they are not even read.
    declined: Vec<String>,
}

/// The main program's value, evaluated by the first call.
enum Main<'p> {
    Unknown,
    Function(Thunk<'p>),
    Value(Value<'p>),
}

/// What the interpreter asks of its surroundings.
struct Host<'p> {
    bundle: Arc<Bundle>,
    prelude: Option<Thunk<'p>>,
    thunks: Vec<Option<Thunk<'p>>>,
    sources: HashMap<SourceId, usize>,
    targets: HashMap<(usize, String), Target>,
    traces: Vec<Trace>,
    /// What the error without a message that the interpreter is given was about.
    failure: Option<String>,
}

impl<'p> Loaded<'p> {
    fn new(arena: &'p Arena, bundle: &Arc<Bundle>) -> Result<Self, CallError> {
        let mut program = Program::new(arena);
        program.set_max_stack(bundle.max_stack);
        for (name, parameters) in natives::SIGNATURES {
            let parameters: Vec<_> =
                parameters.iter().map(|name| program.intern_str(name)).collect();
            program.register_native_func(program.intern_str(name), &parameters);
        }
        let mut host = Host::new(Arc::clone(bundle));
        host.load_files(&mut program)?;
        for variable in &bundle.ext_vars {
            if let Some((name, thunk)) = host.bind(&mut program, variable) {
                program.add_ext_var(name, &thunk);
            }
        }
        let tlas = bundle.tlas.iter().filter_map(|tla| host.bind(&mut program, tla)).collect();
        Ok(Self {
            program,
            host,
            main: Main::Unknown,
            tlas,
            undeclared: Vec::new(),
            declined: Vec::new(),
        })
    }

    fn call(&mut self, request: &[u8], form: Form) -> Result<String, CallError> {
        self.host.traces.clear();
        self.evaluate_main()?;
        let value = match &self.main {
            Main::Unknown => return Err(runtime_error("the program has no value")),
            Main::Value(value) => value.clone(),
            Main::Function(function) => {
                let function = function.clone();
                self.call_function(&function, request)?
            }
        };
        let text = self.program.manifest_json(&value, form == Form::Pretty);
        let mut text = text.map_err(|error| self.host.describe(&self.program, &error))?;
        if form == Form::Pretty {
            text.push('\n');
        }
        Ok(text)
    }

    fn answer(&mut self, arguments: &[(&str, &[u8])]) -> Result<Answer, CallError> {
        self.host.traces.clear();
        self.evaluate_main()?;
        let value = match &self.main {
            Main::Unknown => return Err(runtime_error("the program has no value")),
            Main::Value(value) => value.clone(),
            Main::Function(function) => {
                let function = function.clone();
                self.call_declared(&function, arguments)?
            }
        };
        if let Some(text) = value.to_string() {
            return Ok(Answer::Text(text));
        }
        let text = self.program.manifest_json(&value, false);
        text.map(Answer::Json).map_err(|error| self.host.describe(&self.program, &error))
    }

    /// Calls the function with the arguments that it declares.
    fn call_declared(
        &mut self,
        function: &Thunk<'p>,
        given: &[(&str, &[u8])],
    ) -> Result<Value<'p>, CallError> {
        let mut arguments = Vec::new();
        for (name, text) in given {
            if !self.declined.iter().any(|declined| declined == name) {
                arguments.push((self.program.intern_str(name), self.argument(text)?));
            }
        }
        loop {
            let result = self.program.eval_call(function, &[], &arguments, &mut self.host);
            match result {
                Ok(value) => return Ok(value),
                Err(error) => match undeclared(&error) {
                    Some(name) if arguments.iter().any(|(own, _)| own.value() == name) => {
                        arguments.retain(|(own, _)| own.value() != name);
                        self.declined.push(name.to_owned());
                    }
                    _ => return Err(self.host.describe(&self.program, &error)),
                },
            }
        }
    }

    fn argument(&mut self, text: &[u8]) -> Result<Thunk<'p>, CallError> {
        let value = values::parse(&mut self.program, text).map_err(|error| {
            CallError::new(ErrorKind::Request, format!("invalid JSON body: {error}"))
        })?;
        Ok(self.program.value_to_thunk(&value))
    }

    fn evaluate_main(&mut self) -> Result<(), CallError> {
        if let (Main::Unknown, Some(Some(main))) = (&self.main, self.host.thunks.first()) {
            let main = main.clone();
            let value = self.program.eval_value(&main, &mut self.host);
            let value = value.map_err(|error| self.host.describe(&self.program, &error))?;
            self.main = if value.is_function() { Main::Function(main) } else { Main::Value(value) };
        }
        Ok(())
    }

    /// Calls the function with what it declares of `request` and the extra arguments.
    fn call_function(
        &mut self,
        function: &Thunk<'p>,
        request: &[u8],
    ) -> Result<Value<'p>, CallError> {
        let request = self.argument(request)?;
        loop {
            let mut arguments = vec![(self.program.intern_str("request"), request.clone())];
            arguments.extend(self.tlas.iter().cloned());
            let result = self.program.eval_call(function, &[], &arguments, &mut self.host);
            match result {
                Ok(value) => return Ok(value),
                Err(error) => match undeclared(&error) {
                    // Parameters are checked before anything is evaluated, so nothing is done twice.
                    Some(name) if self.tlas.iter().any(|(tla, _)| tla.value() == name) => {
                        self.tlas.retain(|(tla, _)| tla.value() != name);
                        self.undeclared.push(name.to_owned());
                    }
                    _ => return Err(self.host.describe(&self.program, &error)),
                },
            }
        }
    }
}

/// Returns the name of a top-level argument that the called function does not declare.
fn undeclared(error: &EvalError) -> Option<&str> {
    match &error.kind {
        EvalErrorKind::UnknownCallParam { span: None, param_name } => Some(param_name),
        _ => None,
    }
}

/// Returns the text without the mark some editors put first.
fn author_text(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}

fn runtime_error(message: &str) -> CallError {
    CallError::new(ErrorKind::Runtime, format!("RUNTIME ERROR: {message}"))
}

impl<'p> Host<'p> {
    fn new(bundle: Arc<Bundle>) -> Self {
        let targets = bundle.imports.iter();
        let targets =
            targets.map(|import| ((import.from, import.path.clone()), import.target.clone()));
        Self {
            targets: targets.collect(),
            thunks: Vec::new(),
            prelude: None,
            sources: HashMap::new(),
            traces: Vec::new(),
            failure: None,
            bundle,
        }
    }

    fn load_files(&mut self, program: &mut Program<'p>) -> Result<(), CallError> {
        let (context, _) = program.span_manager_mut().insert_source_context(PRELUDE.len());
        let prelude = program.load_source(context, PRELUDE.as_bytes(), true, PRELUDE_PATH);
        self.prelude = prelude.ok();
        let bundle = Arc::clone(&self.bundle);
        for (index, file) in bundle.files.iter().enumerate() {
            let thunk =
                if file.code { Some(self.load_file(program, index, &file.url)?) } else { None };
            self.thunks.push(thunk);
        }
        Ok(())
    }

    fn load_file(
        &mut self,
        program: &mut Program<'p>,
        index: usize,
        url: &str,
    ) -> Result<Thunk<'p>, CallError> {
        let text = self.text(index);
        let (context, source) = program.span_manager_mut().insert_source_context(text.len());
        self.sources.insert(source, index);
        program.load_source(context, &text, true, url).map_err(|error| {
            let (span, message) = report::load(&error);
            let place = self.place(program, span).map(|place| place.point() + " ");
            CallError::new(ErrorKind::Load, place.unwrap_or_default() + &message)
        })
    }

    /// Returns the text the interpreter sees of a file.
    fn text(&self, index: usize) -> Vec<u8> {
        let content = self.bundle.files.get(index).map_or(&[][..], |file| &file.content);
        [PREFIX.as_bytes(), author_text(content)].concat()
    }

    fn bind(
        &mut self,
        program: &mut Program<'p>,
        binding: &Binding,
    ) -> Option<(InternedStr<'p>, Thunk<'p>)> {
        let thunk = match &binding.value {
            Bound::Text(text) => program.value_to_thunk(&Value::string(text)),
            Bound::Code(file) => self.thunks.get(*file)?.clone()?,
        };
        Some((program.intern_str(&binding.name), thunk))
    }

    /// Returns where a span is, unless it is in text the author did not write.
    fn place(&self, program: &Program<'p>, span: SpanId) -> Option<Place> {
        let (index, start, end) = self.locate(program, span)?;
        let file = self.bundle.files.get(index)?;
        let start = start.checked_sub(PREFIX.len())?;
        let end = end.saturating_sub(PREFIX.len());
        Some(Place::new(&file.name, author_text(&file.content), start, end))
    }

    fn locate(&self, program: &Program<'p>, span: SpanId) -> Option<(usize, usize, usize)> {
        let (context, start, end) = program.span_manager().get_span(span);
        let SpanContext::Source(source) = program.span_manager().get_context(context);
        Some((*self.sources.get(source)?, start, end))
    }

    fn describe(&mut self, program: &Program<'p>, error: &EvalError) -> CallError {
        let message = self.failure.take().unwrap_or_else(|| report::message(&error.kind));
        let place = |span| self.place(program, span);
        let trace = report::trace(report::span(&error.kind), &error.stack_trace, place);
        let text = format!("RUNTIME ERROR: {message}{trace}");
        CallError::new(report::kind(&error.kind), text)
    }

    fn target(&mut self, program: &Program<'p>, from: SpanId, path: &str) -> Option<usize> {
        let (index, ..) = self.locate(program, from)?;
        match self.targets.get(&(index, path.to_owned()))? {
            Target::File(file) => Some(*file),
            Target::Failed(message) => {
                self.failure = Some(message.clone());
                None
            }
        }
    }

    fn content(&mut self, program: &Program<'p>, from: SpanId, path: &str) -> Option<Vec<u8>> {
        let index = self.target(program, from, path)?;
        Some(self.bundle.files.get(index)?.content.to_vec())
    }
}

impl<'p> Callbacks<'p> for Host<'p> {
    fn import(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<Thunk<'p>, ImportError> {
        if path == PRELUDE_PATH {
            return self.prelude.clone().ok_or(ImportError);
        }
        let file = self.target(program, from, path).ok_or(ImportError)?;
        self.thunks.get(file).cloned().flatten().ok_or(ImportError)
    }

    fn import_str(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<String, ImportError> {
        let content = self.content(program, from, path).ok_or(ImportError)?;
        String::from_utf8(content).map_err(|_| {
            self.failure = Some(format!("cannot import \"{path}\" as text: it is not UTF-8"));
            ImportError
        })
    }

    fn import_bin(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<Vec<u8>, ImportError> {
        self.content(program, from, path).ok_or(ImportError)
    }

    fn trace(&mut self, program: &mut Program<'p>, message: &str, stack: &[EvalStackTraceItem]) {
        if self.traces.len() == MAX_TRACES {
            return;
        }
        let place = stack.iter().rev().find_map(|item| match item {
            EvalStackTraceItem::Call { span: Some(span), .. } => self.place(program, *span),
            _ => None,
        });
        let cut = message.floor_char_boundary(MAX_TRACE);
        self.traces.push(Trace {
            place: place
                .map(|place| format!("{}:{}", place.file, place.start.0))
                .unwrap_or_default(),
            message: message.get(..cut).unwrap_or_default().to_owned(),
        });
    }

    fn native_call(
        &mut self,
        program: &mut Program<'p>,
        name: InternedStr<'p>,
        args: &[Value<'p>],
    ) -> Result<Value<'p>, NativeError> {
        let arguments: Option<Vec<_>> = args.iter().map(values::to_json).collect();
        let result = match arguments {
            Some(arguments) => natives::call(name.value(), &arguments),
            None => Err(format!("{}: functions cannot be arguments", name.value())),
        };
        result.map(|value| values::from_json(program, &value)).map_err(|message| {
            self.failure = Some(message);
            NativeError
        })
    }
}
