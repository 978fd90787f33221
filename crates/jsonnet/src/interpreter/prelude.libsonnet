// Extends the interpreter's `std` with what it lacks of the language's 0.22.
function(std) std {
  local sequence(arr) = if std.isString(arr) then std.stringChars(arr) else arr,
  id(x):: x,
  foldl(func, arr, init):: std.foldl(func, sequence(arr), init),
  foldr(func, arr, init):: std.foldr(func, sequence(arr), init),
  escapeStringJson(str):: std.escapeStringJson(std.toString(str)),
  parseYaml(str):: std.native('windlass.parseYaml')(str),
}
