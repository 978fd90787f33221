// Puts a Service beside a pod, and a label on the pod that the Service selects it by.
function(request) {
  local pod = request.object,
  local port = std.parseInt(pod.metadata.annotations['example.org/service-port']),

  labels: { 'example.org/pod': pod.metadata.name },
  attachments: [{
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: pod.metadata.name },
    spec: {
      selector: { 'example.org/pod': pod.metadata.name },
      ports: [{ port: port, targetPort: port }],
    },
  }],
}
