// Answers what a BlueGreen should have: two ReplicaSets, blue and green, and a Service that selects one of them.
// Needs node and nothing else: node hook.js [PORT]
'use strict';

const http = require('node:http');
const { isDeepStrictEqual } = require('node:util');

/** Where a ReplicaSet notes the template it was made from: its own has the server's defaults in it. */
const TEMPLATE = 'example.org/template';

function templateOf(replicaSet) {
  return replicaSet && JSON.parse(replicaSet.metadata.annotations[TEMPLATE]);
}

/** Returns how many pods a ReplicaSet has that serve, as far as its status is about what was asked. */
function available(replicaSet) {
  const { metadata, status = {} } = replicaSet;
  return status.observedGeneration === metadata.generation ? status.availableReplicas || 0 : 0;
}

function replicaSet(parent, color, replicas, template) {
  const labels = { ...template.metadata?.labels, 'blue-green': parent.metadata.name, color };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${parent.metadata.name}-${color}`,
      annotations: { [TEMPLATE]: JSON.stringify(template) },
    },
    spec: {
      replicas,
      selector: { matchLabels: { 'blue-green': parent.metadata.name, color } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

function service(parent, color) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: parent.metadata.name },
    spec: { selector: { 'blue-green': parent.metadata.name, color }, ports: parent.spec.ports },
  };
}

/** Returns the status and the children that the parent should have. */
function sync({ parent, children }) {
  const { name } = parent.metadata;
  const { replicas, template } = parent.spec;
  const sets = children['ReplicaSet.apps/v1'];
  const color = children['Service.v1'][name]?.spec.selector.color ?? 'blue';
  const other = color === 'blue' ? 'green' : 'blue';
  const [active, idle] = [sets[`${name}-${color}`], sets[`${name}-${other}`]];

  const status = { active: color, availableReplicas: active ? available(active) : 0 };
  const answer = (serving, ...replicaSets) => ({ status, children: [service(parent, serving), ...replicaSets] });
  // Nothing to roll out: the other colour sleeps.
  if (!active || isDeepStrictEqual(templateOf(active), template)) {
    const asleep = idle ? [replicaSet(parent, other, 0, templateOf(idle))] : [];
    return answer(color, replicaSet(parent, color, replicas, template), ...asleep);
  }
  const old = replicaSet(parent, color, replicas, templateOf(active));
  if (idle && !isDeepStrictEqual(templateOf(idle), template) && idle.status?.replicas > 0) {
    // Pods of a third template are still there: a ReplicaSet does not replace its pods.
    return answer(color, old, replicaSet(parent, other, 0, templateOf(idle)));
  }
  const isReady = idle && isDeepStrictEqual(templateOf(idle), template) && available(idle) >= replicas;
  return answer(isReady ? other : color, old, replicaSet(parent, other, replicas, template));
}

const hooks = { '/sync': sync };

http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part)).on('end', () => {
    const reply = (status, body) => {
      const text = JSON.stringify(body);
      response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
      response.end(text);
    };
    const hook = hooks[request.url];
    if (!hook) return reply(404, { error: 'no such hook' });
    try {
      reply(200, hook(JSON.parse(Buffer.concat(parts))));
    } catch (error) {
      // The engine shows this and asks again later.
      reply(500, { error: String(error.stack) });
    }
  });
}).listen(Number(process.argv[2] ?? 8092), '127.0.0.1');
