"""Ask the gateway with LangChain's package for OpenAI. Takes GATEWAY_URL and GATEWAY_KEY from the environment."""

import os

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

client = ChatOpenAI(
    base_url=os.environ["GATEWAY_URL"] + "/v1",
    model="meta/llama2-70b",
    api_key=SecretStr(os.environ["GATEWAY_KEY"]),
    temperature=0,
    top_p=1,
    max_completion_tokens=1024,
)

response = client.invoke([{"role": "user", "content": "Tell me about llama2"}])
print(response.content)
