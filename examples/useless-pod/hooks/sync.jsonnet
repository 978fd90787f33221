// Answers what a UselessPod should have: one Deployment that does nothing.
local deployment(name) = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: name },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [{ name: 'useless', image: 'registry.k8s.io/pause:3.10' }],
      },
    },
  },
};

function(request) {
  local observed = request.children['Deployment.apps/v1'],

  status: { ready: if std.length(observed) > 0 then 'true' else 'false' },
  children: [deployment('useless-' + request.parent.spec.name)],
}
