#!/usr/bin/env node
// Ask the gateway from Node.js 18.3 or newer, with nothing but its built-in fetch.
//
//   GATEWAY_URL=http://127.0.0.1:8000 GATEWAY_KEY=... node get_data.mjs \
//     [--stream] [--temperature N] [--max-tokens N] [--seed N] OPERATION PROMPT [SYSTEM_PROMPT]
//
// OPERATION is get-data or system-prompt-get-data. Prints one JSON document: what came back.
import { parseArgs } from 'node:util';

const PATHS = {
  'get-data': '/Get%20Data',
  'system-prompt-get-data': '/System%20Prompt%20Get%20Data',
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    stream: { type: 'boolean' },
    temperature: { type: 'string' },
    'max-tokens': { type: 'string' },
    seed: { type: 'string' },
  },
});
const [operation, prompt, systemPrompt] = positionals;
if (!Object.hasOwn(PATHS, operation ?? '') || prompt === undefined) {
  console.error('usage: get_data.mjs [options] get-data|system-prompt-get-data PROMPT [SYSTEM_PROMPT]');
  process.exit(2);
}

const number = (text) => (text === undefined ? undefined : Number(text));

// JSON.stringify leaves out what is undefined, so that the model's own defaults hold.
const body = {
  prompt,
  'system prompt': systemPrompt,
  temperature: number(options.temperature),
  max_tokens: number(options['max-tokens']),
  seed: number(options.seed),
  stream: options.stream,
};

const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache' };
if (process.env.GATEWAY_KEY) headers['Ocp-Apim-Subscription-Key'] = process.env.GATEWAY_KEY;

async function readAnswer(response) {
  const text = await response.text();
  let answer = text; // stays text where it is no JSON, such as a proxy's page
  try { answer = JSON.parse(text); } catch { /* keep the text */ }
  return { wwwAuthenticate: response.headers.get('www-authenticate'), body: answer };
}

async function readStream(response) {
  const seen = { pieces: [], last: null, done: false, error: null, chunkArrivals: 0 };
  const decoder = new TextDecoder(); // with stream: true it waits for the rest of a cut character
  let waiting = '';
  try {
    for await (const chunk of response.body) {
      seen.chunkArrivals += 1;
      const events = (waiting + decoder.decode(chunk, { stream: true })).split(/\r\n\r\n|\n\n|\r\r/);
      waiting = events.pop(); // the last one is not complete yet
      for (const event of events) takeEvent(event, seen);
    }
  } catch (error) {
    if (error instanceof SyntaxError) throw error;
    console.error(`the stream broke off: ${error.cause ?? error}`);
  }
  return seen;
}

function takeEvent(event, seen) {
  const lines = event.split(/\r\n|\n|\r/);
  const values = (name) => lines
    .filter((line) => line.startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).replace(/^ /, ''));
  const data = values('data').join('\n');
  if (data === '[DONE]') seen.done = true;
  else if (values('event').includes('error')) seen.error = JSON.parse(data);
  else if (data) {
    const answer = JSON.parse(data);
    if ('finish_reason' in answer) seen.last = answer;
    else seen.pieces.push(answer.generated_text);
  }
}

// fetch does not reject for a status of 400 and up: the error body is read like any other.
const response = await fetch(process.env.GATEWAY_URL + PATHS[operation], {
  method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(600_000),
});
const contentType = response.headers.get('content-type') ?? '';
const read = contentType.startsWith('text/event-stream') ? readStream : readAnswer;
console.log(JSON.stringify({
  status: response.status, contentType, traceId: response.headers.get('x-trace-id'), ...await read(response),
}));
