// Ask the gateway with OpenAI's package: npm install openai. GATEWAY_URL and GATEWAY_KEY come from the environment.
import OpenAI from 'openai';

const openai = new OpenAI({
  apiKey: process.env.GATEWAY_KEY,
  baseURL: `${process.env.GATEWAY_URL}/v1`,
});

async function main() {
  const completion = await openai.chat.completions.create({
    model: 'meta/llama2-70b',
    messages: [{ role: 'user', content: 'Tell me about llama2' }],
    temperature: 0,
    top_p: 1,
    max_tokens: 1024,
    stream: false,
  });

  process.stdout.write(completion.choices[0]?.message?.content);
}

main();
