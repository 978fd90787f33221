// Serves one Node.js function over a private socket, many calls at once. Built-in modules only, for Node 14 and later.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');
const fs = require('fs');
const http = require('http');
const net = require('net');
const path = require('path');
const querystring = require('querystring');
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

// Which response the code that runs is at, also in callbacks: errors are told to its caller.
const current = new AsyncLocalStorage();

// Finds the file of the module, by any of the suffixes Node knows.
function moduleFile() {
  const base = path.resolve(moduleName);
  const file = ['.js', '.mjs', '.cjs', '.json'].map((suffix) => base + suffix).find((it) => fs.existsSync(it));
  return file || base;
}

// Loads a module of either kind; which one it is shows only when Node refuses it as the other.
async function loadModule(file) {
  try {
    return require(file);
  } catch (error) {
    if (!['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'].includes(error && error.code)) {
      throw error;
    }
    return import(pathToFileURL(file).href);
  }
}

async function load() {
  const exported = (await loadModule(moduleFile())) || {};
  const usual = exported.default;
  const candidates = [exported[functionName], usual && usual[functionName], exported, usual];
  const handler = candidates.find((it) => typeof it === 'function');
  if (!handler) {
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
    return {};
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

// Returns whether a media type is one that was asked for: `json`, `text/html`, `image/*` or `+json`.
function isOfType(type, asked) {
  if (asked.startsWith('+')) {
    return type.endsWith(asked);
  }
  const [main, sub] = type.split('/');
  const [askedMain, askedSub] = asked.includes('/') ? asked.split('/') : ['*', asked];
  return (askedMain === '*' || askedMain === main) && (askedSub === '*' || askedSub === sub);
}

// Gives a request the members that programs know from Express.
function requestLikeExpress(request) {
  const [target, query = ''] = request.url.split(/\?(.*)/s);
  request.originalUrl = request.url;
  request.path = target;
  request.query = { ...querystring.parse(query) };
  request.hostname = (request.headers.host || '').replace(/:\d+$/, '');
  request.ip = (request.headers['x-forwarded-for'] || '127.0.0.1').split(',')[0].trim();
  request.get = (name) => {
    const key = name.toLowerCase();
    return request.headers[key === 'referrer' ? 'referer' : key];
  };
  request.header = request.get;
  request.is = (...asked) => {
    const type = mediaType(request);
    return (type && asked.flat().find((it) => isOfType(type, it)) && type) || false;
  };
}

const TYPES = {
  bin: 'application/octet-stream',
  css: 'text/css; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  html: 'text/html; charset=utf-8',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'application/javascript; charset=utf-8',
  json: 'application/json; charset=utf-8',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  text: 'text/plain; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
  xml: 'application/xml',
};

// Gives a response the members that programs know from Express.
function responseLikeExpress(response) {
  const set = (name, value) => {
    for (const [key, one] of typeof name === 'object' ? Object.entries(name) : [[name, value]]) {
      response.setHeader(key, one);
    }
    return response;
  };
  const setUsualType = (type) => response.hasHeader('Content-Type') || response.type(type);
  response.status = (status) => {
    response.statusCode = status;
    return response;
  };
  response.set = set;
  response.header = set;
  response.type = (type) => set('Content-Type', type.includes('/') ? type : TYPES[type.replace('.', '')] || TYPES.bin);
  response.json = (value) => {
    setUsualType('json');
    response.end(jsonOf(value === undefined ? null : value));
    return response;
  };
  response.send = (value) => {
    if (value === undefined || value === null) {
      response.end();
    } else if (typeof value === 'string' || isBytes(value)) {
      setUsualType(typeof value === 'string' ? 'html' : 'bin');
      response.end(value);
    } else {
      response.json(value);
    }
    return response;
  };
  response.sendStatus = (status) => response.status(status).type('txt').send(STATUS_CODES[status] || String(status));
  response.redirect = (...given) => {
    const [status, url] = given.length === 1 ? [302, given[0]] : given;
    response.status(status).set('Location', url).type('txt').end(`${STATUS_CODES[status]}. Redirecting to ${url}`);
  };
}

function isBytes(value) {
  return Buffer.isBuffer(value) || value instanceof Uint8Array;
}

function jsonOf(value) {
  const text = JSON.stringify(value);
  if (text === undefined) {
    throw new TypeError(`a ${typeof value} cannot be returned`);
  }
  return text;
}

// Ends a response with what a function returned, unless the function ended it itself or something is piped to it.
function finish(response, value) {
  const isPiped = response.listenerCount('unpipe') > 0;
  if (response.writableEnded || isPiped) {
    return;
  }
  if (value === undefined) {
    response.end();
  } else if (typeof value === 'string' || isBytes(value)) {
    response.end(value);
  } else {
    const text = jsonOf(value);
    if (!response.headersSent && !response.hasHeader('Content-Type')) {
      response.setHeader('Content-Type', 'application/json');
    }
    response.end(text);
  }
}

function fail(response, error) {
  console.error(error);
  if (response.writableEnded) {
    return;
  }
  if (response.headersSent) {
    // Too late to say so: after what was written, which is still on its way, the host resets the caller's connection.
    setImmediate(() => response.destroy());
    return;
  }
  const name = error && error.name ? error.name : 'Error';
  const message = error && error.message !== undefined ? error.message : String(error);
  for (const header of response.getHeaderNames()) {
    response.removeHeader(header);
  }
  response.statusCode = 500;
  response.statusMessage = undefined;
  response.setHeader('windlass-failed', '1');
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(exposes ? `Error: ${name}: ${message}` : 'Internal Server Error');
}

async function answer(handler, request, response) {
  if (request.headers['windlass-ping']) {
    response.end();
    return;
  }
  try {
    requestLikeExpress(request);
    responseLikeExpress(response);
    request.body = await dataOf(request);
    const event = {
      data: request.body,
      'event-id': request.headers['event-id'],
      'event-type': request.headers['event-type'],
      'event-time': request.headers['event-time'],
      'event-namespace': request.headers['event-namespace'],
      extensions: { request, response },
    };
    finish(response, await handler(event, context));
  } catch (error) {
    fail(response, error);
  }
}

// Has errors that nobody catches end the call they belong to, and the process only if there is none.
function watchErrors() {
  process.on('uncaughtException', (error) => {
    const response = current.getStore();
    if (!response) {
      console.error(error);
      process.exit(1);
    }
    fail(response, error);
  });
  process.on('unhandledRejection', (error) => console.error(error));
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
    tell({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }, () => process.exit(1));
    return;
  }
  watchErrors();
  // Whether headers are too long was for the host to say.
  const server = http.createServer({ maxHeaderSize: 1 << 20 }, (request, response) => {
    current.run(response, () => answer(handler, request, response));
  });
  // The host alone decides how long anything may take.
  server.keepAliveTimeout = 0;
  server.headersTimeout = 0;
  server.requestTimeout = 0;
  server.listen(process.env.WINDLASS_SOCKET, () => tell({}));
}

main();
