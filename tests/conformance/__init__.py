"""OpenAI's API held against vLLM's own server, and against everything that OpenAI refuses."""
