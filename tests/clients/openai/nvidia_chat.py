"""Ask the gateway with NVIDIA's package for LangChain. Takes GATEWAY_URL and GATEWAY_KEY from the environment."""

import os

from langchain_nvidia_ai_endpoints import ChatNVIDIA

client = ChatNVIDIA(
    base_url=os.environ["GATEWAY_URL"] + "/v1",
    model="meta/llama2-70b",
    api_key=os.environ["GATEWAY_KEY"],
    temperature=0,
    top_p=1,
    max_tokens=1024,
)

response = client.invoke([{"role": "user", "content": "Tell me about llama2"}])
print(response.content)
