// The sync hook of a KIND: it should have a ConfigMap with its text. Node.js alone, no packages.
'use strict';

const http = require('node:http');

// Returns the status and the children that the parent should have.
function sync({ parent, children }) {
  return {
    status: { children: Object.keys(children['ConfigMap.v1']).length },
    children: [{
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: parent.metadata.name },
      data: { text: parent.spec.text },
    }],
  };
}

http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const [code, answer] = request.url === '/sync' ? [200, sync(JSON.parse(Buffer.concat(chunks)))] : [404, {}];
    response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  } catch (error) {
    // windlass shows the first lines of it.
    response.writeHead(500).end(String(error.stack));
  }
}).listen(8099, '127.0.0.1');
