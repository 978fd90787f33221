// Extends the interpreter's `std` with what it lacks, or does otherwise than the reference.
function(std) std {
  local sequence(arr) = if std.isString(arr) then std.stringChars(arr) else arr,
  id(x):: x,
  foldl(func, arr, init):: std.foldl(func, sequence(arr), init),
  foldr(func, arr, init):: std.foldr(func, sequence(arr), init),
  escapeStringJson(str):: std.escapeStringJson(std.toString(str)),
  // Halves go away from zero.
  round(x)::
    local whole = std.floor(std.abs(x));
    std.sign(x) * (if std.abs(x) - whole < 0.5 then whole else whole + 1),
  strReplace(str, from, to)::
    if from == '' then error "'from' string must not be zero length."
    else std.strReplace(str, from, to),
  parseYaml(str):: std.native('windlass.parseYaml')(str),
}
