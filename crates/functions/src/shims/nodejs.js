// Serves one Node.js function over a private socket, many calls at once. Built-in modules only, for Node 14 and later.
'use strict';

const fs = require('fs');
const http = require('http');
const net = require('net');
const path = require('path');
const { pathToFileURL } = require('url');
const { STATUS_CODES } = http;

const moduleName = process.env.MOD_NAME;
const functionName = process.env.FUNC_HANDLER;
const exposes = ['true', '1'].includes((process.env.FUNC_EXPOSE_ERRORS || '').toLowerCase());
const context = {
  'function-name': functionName,
  timeout: Number(process.env.FUNC_TIMEOUT || '180'),
  runtime: process.env.FUNC_RUNTIME || '',
  'memory-limit': process.env.FUNC_MEMORY_LIMIT || '0',
};

// Finds the file of the module, by any of the suffixes Node knows.
function moduleFile() {
  const base = path.resolve(moduleName);
  const file = ['.js', '.mjs', '.cjs', '.json'].map((suffix) => base + suffix).find((it) => fs.existsSync(it));
  return file || base;
}

async function load() {
  const file = moduleFile();
  let exported;
  try {
    exported = require(file);
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM' && !(error instanceof SyntaxError && /import|export/.test(error.message))) {
      throw error;
    }
    exported = await import(pathToFileURL(file).href);
  }
  const named = exported[functionName] || (exported.default && exported.default[functionName]);
  const handler = named || (typeof exported === 'function' ? exported : exported.default);
  if (typeof handler !== 'function') {
    throw new Error(`module \`${moduleName}\` has no function \`${functionName}\``);
  }
  return handler;
}

function mediaType(request) {
  return (request.headers['content-type'] || '').split(';')[0].trim().toLowerCase();
}

function isJson(type) {
  return type === 'application/json' || type.endsWith('+json');
}

// Reads the body, unless it is a form of many parts: programs read those themselves.
async function dataOf(request) {
  const type = mediaType(request);
  if (type.startsWith('multipart/')) {
    return undefined;
  }
  const parts = [];
  for await (const part of request) {
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString();
  if (text === '') {
    return {};
  }
  return isJson(type) ? JSON.parse(text) : text;
}

// Gives a request the members that programs know from Express.
function likeExpress(request, data) {
  const url = new URL(request.url, 'http://localhost');
  request.body = data;
  request.originalUrl = request.url;
  request.path = url.pathname;
  request.query = Object.fromEntries(url.searchParams);
  request.hostname = (request.headers.host || '').replace(/:\d+$/, '');
  request.ip = (request.headers['x-forwarded-for'] || '127.0.0.1').split(',')[0].trim();
  request.get = (name) => request.headers[name.toLowerCase()];
  request.header = request.get;
  request.is = (type) => mediaType(request) === type || mediaType(request).split('/')[1] === type;
}

// Gives a response the members that programs know from Express.
function answerLikeExpress(response) {
  const set = (name, value) => {
    for (const [key, one] of typeof name === 'object' ? Object.entries(name) : [[name, value]]) {
      response.setHeader(key, one);
    }
    return response;
  };
  response.status = (status) => {
    response.statusCode = status;
    return response;
  };
  response.set = set;
  response.header = set;
  response.type = (type) => set('Content-Type', type.includes('/') ? type : `text/${type}`);
  response.json = (value) => {
    if (!response.hasHeader('Content-Type')) {
      set('Content-Type', 'application/json; charset=utf-8');
    }
    response.end(JSON.stringify(value));
    return response;
  };
  response.send = (value) => {
    finish(response, value);
    return response;
  };
  response.sendStatus = (status) => response.status(status).send(STATUS_CODES[status] || String(status));
  response.redirect = (status, url) => {
    const [code, to] = url === undefined ? [302, status] : [status, url];
    response.status(code).set('Location', to).end();
  };
}

// Ends a response with what a function returned, unless the function ended it itself.
function finish(response, value) {
  if (response.writableEnded || response.headersSent) {
    return;
  }
  if (value === undefined) {
    response.end();
  } else if (typeof value === 'string' || Buffer.isBuffer(value) || value instanceof Uint8Array) {
    response.end(value);
  } else {
    if (!response.hasHeader('Content-Type')) {
      response.setHeader('Content-Type', 'application/json');
    }
    response.end(JSON.stringify(value));
  }
}

function fail(response, error) {
  console.error(error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const name = error && error.name ? error.name : 'Error';
  const message = error && error.message !== undefined ? error.message : String(error);
  response.statusCode = 500;
  response.setHeader('windlass-failed', '1');
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(exposes ? `Error: ${name}: ${message}` : 'Internal Server Error');
}

async function answer(handler, request, response) {
  if (request.headers['windlass-ping']) {
    response.end();
    return;
  }
  answerLikeExpress(response);
  try {
    const data = await dataOf(request);
    likeExpress(request, data);
    const event = {
      data,
      'event-id': request.headers['event-id'],
      'event-type': request.headers['event-type'],
      'event-time': request.headers['event-time'],
      'event-namespace': request.headers['event-namespace'],
      extensions: { request, response },
    };
    const value = await handler(event, context);
    // A program that ends or pipes the response itself may still be at it.
    if (value !== undefined || !response.writableNeedDrain) {
      finishUnlessPiped(response, value);
    }
  } catch (error) {
    fail(response, error);
  }
}

function finishUnlessPiped(response, value) {
  const isPiped = response.listenerCount('unpipe') > 0;
  if (!isPiped) {
    finish(response, value);
  }
}

async function main() {
  const control = new net.Socket({ fd: 0, readable: true, writable: true });
  const tell = (said, then) => control.write(`${JSON.stringify(said)}\n`, then);
  // Nothing is ever sent: what ends is the host.
  control.on('data', () => {});
  control.on('close', () => process.exit(0));
  control.on('error', () => process.exit(0));
  let handler;
  try {
    handler = await load();
  } catch (error) {
    console.error(error);
    tell({ error: `${error.name}: ${error.message}` }, () => process.exit(1));
    return;
  }
  process.on('unhandledRejection', (error) => console.error(error));
  const server = http.createServer((request, response) => answer(handler, request, response));
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.listen(process.env.WINDLASS_SOCKET, () => tell({}));
}

main();
