// Answers what an OrderedSet should have: pods with ordinals, started in order and stopped in reverse order, and
// claims that outlive them.
local isReady(pod) = std.length([
  condition
  for condition in std.get(std.get(pod, 'status', {}), 'conditions', [])
  if condition.type == 'Ready' && condition.status == 'True'
]) > 0 && !std.objectHas(pod.metadata, 'deletionTimestamp');

function(request) {
  local set = request.parent,
  local spec = set.spec,
  local pods = request.children['Pod.v1'],
  local claims = request.children['PersistentVolumeClaim.v1'],
  // While the set is being deleted, it is scaled down to nothing.
  local replicas = if request.finalizing then 0 else spec.replicas,
  local templates = std.get(spec, 'volumeClaimTemplates', []),

  local podName(ordinal) = '%s-%d' % [set.metadata.name, ordinal],
  local claimName(template, ordinal) = template.metadata.name + '-' + podName(ordinal),
  local isThere(ordinal) = std.objectHas(pods, podName(ordinal)),
  local isUp(ordinal) = isThere(ordinal) && isReady(pods[podName(ordinal)]),

  local ordinals = [std.parseInt(std.split(name, '-')[std.length(std.split(name, '-')) - 1]) for name in std.objectFields(pods)],
  local highest = std.foldl(std.max, ordinals, -1),
  // A pod starts when those before it are ready. Of those too many, the last one goes first.
  local wanted = [
    ordinal
    for ordinal in std.range(0, std.max(replicas - 1, highest))
    if if ordinal < replicas
    then isThere(ordinal) || std.all([isUp(before) for before in std.range(0, ordinal - 1)])
    else isThere(ordinal) && ordinal < highest
  ],

  local pod(ordinal) = spec.template {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata+: { name: podName(ordinal) },
    spec+: {
      hostname: podName(ordinal),
      [if std.objectHas(spec, 'serviceName') then 'subdomain']: spec.serviceName,
      volumes: std.get(spec.template.spec, 'volumes', []) + [
        { name: template.metadata.name, persistentVolumeClaim: { claimName: claimName(template, ordinal) } }
        for template in templates
      ],
    },
  },
  local claim(template, ordinal) = template {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata+: { name: claimName(template, ordinal), labels+: spec.selector.matchLabels },
  },
  local isClaimed(template, ordinal) =
    std.member(wanted, ordinal) || std.objectHas(claims, claimName(template, ordinal)),
  // Every claim that was ever made stays: its ordinal may come back.
  local claimed = std.range(0, std.max(std.max(replicas, highest + 1), std.length(std.objectFields(claims))) - 1),

  status: {
    replicas: std.length(std.objectFields(pods)),
    readyReplicas: std.length([name for name in std.objectFields(pods) if isReady(pods[name])]),
  },
  // Pods are replaced in the order of this list: the last ordinal first.
  children: [
    claim(template, ordinal)
    for template in templates
    for ordinal in claimed
    if isClaimed(template, ordinal)
  ] + [pod(ordinal) for ordinal in std.reverse(wanted)],
  finalized: std.length(std.objectFields(pods)) == 0,
}
