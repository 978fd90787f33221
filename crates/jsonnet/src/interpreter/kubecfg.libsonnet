// The library `kubecfg.libsonnet`: native functions and helpers for collections of Kubernetes objects.
{
  parseJson:: std.native('parseJson'),
  parseYaml:: std.native('parseYaml'),
  manifestYaml:: std.native('manifestYaml'),
  escapeStringRegex:: std.native('escapeStringRegex'),
  resolveImage:: std.native('resolveImage'),
  regexMatch:: std.native('regexMatch'),
  regexSubst:: std.native('regexSubst'),
  validateJSONSchema:: std.native('validateJSONSchema'),
  manifestJson(value, indent=4):: std.native('manifestJson')(value, indent),
  parseHelmChart(chartData, releaseName, namespace, values, capabilities={})::
    std.native('parseHelmChart')(chartData, releaseName, namespace, values, capabilities),

  // The same object, but its object-valued fields extend what they are laid over.
  toOverlay(v)::
    if !std.isObject(v) then v else
      { [k]+: $.toOverlay(v[k]) for k in std.objectFields(v) if std.isObject(v[k]) } +
      { [k]: v[k] for k in std.objectFields(v) if !std.isObject(v[k]) },

  isK8sObject(o)::
    std.isObject(o) && std.objectHas(o, 'apiVersion') && std.objectHas(o, 'kind'),

  local isList(o) = $.isK8sObject(o) && o.apiVersion == 'v1' && o.kind == 'List',
  local refuse(o) =
    error 'o must be an object or array of k8s objects, found ' + std.type(o),

  // Replaces every Kubernetes object in nested arrays and objects.
  deepMap(func, o)::
    if o == null then null
    else if std.isArray(o) then std.map(function(item) $.deepMap(func, item), o)
    else if !std.isObject(o) then refuse(o)
    else if isList(o) then o { items: std.map(func, o.items) }
    else if $.isK8sObject(o) then func(o)
    else std.mapWithKey(function(_, value) $.deepMap(func, value), o),

  // Accumulates over the same traversal, fields in sorted order.
  fold(func, o, init)::
    local over(items) = std.foldl(function(accumulator, item) $.fold(func, item, accumulator), items, init);
    if o == null then init
    else if std.isArray(o) then over(o)
    else if !std.isObject(o) then refuse(o)
    else if isList(o) then over(o.items)
    else if $.isK8sObject(o) then func(init, o)
    else over(std.objectValues(o)),

  // Walks a path and returns an array of the value there, or an empty one.
  local walk(obj, path, inc_hidden) = std.foldl(
    function(found, key)
      if std.length(found) > 0 && std.isObject(found[0]) && std.objectHasEx(found[0], key, inc_hidden)
      then [found[0][key]]
      else [],
    std.split(path, '.'),
    [obj]
  ),

  getPath(obj, path, default=null, inc_hidden=true)::
    local found = walk(obj, path, inc_hidden);
    if std.length(found) == 0 then default else found[0],
  objectHasPath(obj, path, inc_hidden=false):: std.length(walk(obj, path, inc_hidden)) > 0,
  objectHasPathAll(obj, path):: $.objectHasPath(obj, path, inc_hidden=true),

  // Accumulators for `fold`.
  layouts:: {
    local named(o) = {
      assert !(o.metadata.name in super) : 'duplicate object %s %s' % [o.kind, o.metadata.name],
      [o.metadata.name]: o,
    },
    local gvk(o) = o.apiVersion + '.' + o.kind,
    gvkName(accum, o):: accum { [gvk(o)]+: named(o) },
    gvkNsName(accum, o)::
      accum { [gvk(o)]+: { [std.get(o.metadata, 'namespace', '_')]+: named(o) } },
  },
}
