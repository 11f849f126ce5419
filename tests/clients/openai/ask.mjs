// For the tests: send the chat completion in the first argument with OpenAI's package, and print what its caller sees.
import OpenAI from 'openai';

const openai = new OpenAI({
  apiKey: process.env.GATEWAY_KEY,
  baseURL: `${process.env.GATEWAY_URL}/v1`,
  maxRetries: 0,
});

async function ask(request) {
  const answer = await openai.chat.completions.create(request);
  if (!request.stream) return { pieces: [answer.choices[0].message.content], usage: answer.usage };
  const seen = { pieces: [], usage: null };
  for await (const chunk of answer) {
    if (chunk.choices.length) seen.pieces.push(chunk.choices[0].delta.content ?? '');
    seen.usage = chunk.usage ?? seen.usage;
  }
  return seen;
}

function told(error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  return { error: error.constructor.name, status: error.status, message: error.message, body: error.error };
}

console.log(JSON.stringify(await ask(JSON.parse(process.argv[2])).catch(told)));
