// Answers what a KIND should have: a ConfigMap with its text.
function(request) {
  local parent = request.parent,

  status: { children: std.length(request.children['ConfigMap.v1']) },
  children: [{
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: parent.metadata.name },
    data: { text: parent.spec.text },
  }],
}
