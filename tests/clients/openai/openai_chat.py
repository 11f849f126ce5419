"""Ask the gateway with OpenAI's package. Takes GATEWAY_URL and GATEWAY_KEY from the environment."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ["GATEWAY_URL"] + "/v1",
    api_key=os.environ["GATEWAY_KEY"],
)

completion = client.chat.completions.create(
    model="meta/llama2-70b",
    messages=[{"role": "user", "content": "Tell me about llama2"}],
    temperature=0,
    top_p=1,
    max_tokens=1024,
    stream=False,
)

print(completion.choices[0].message)
