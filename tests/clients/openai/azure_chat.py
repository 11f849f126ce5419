"""Ask the gateway with Azure's client. Takes GATEWAY_URL and GATEWAY_KEY from the environment."""

import os

from openai import AzureOpenAI

client = AzureOpenAI(
    azure_endpoint=os.environ["GATEWAY_URL"],
    api_key=os.environ["GATEWAY_KEY"],
    api_version="2024-10-21",  # any will do
)

completion = client.chat.completions.create(
    model="meta/llama2-70b",
    messages=[{"role": "user", "content": "Tell me about llama2"}],
    temperature=0,
    top_p=1,
    max_tokens=1024,
)

print(completion.choices[0].message.content)
