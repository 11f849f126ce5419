#!/usr/bin/env bash
# Ask the gateway with curl, piece by piece. Takes GATEWAY_URL and GATEWAY_KEY from the environment.
curl --no-buffer "$GATEWAY_URL/v1/chat/completions" \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer $GATEWAY_KEY" \
  -d '{
    "model": "meta/llama2-70b",
    "messages": [{"role":"user","content":"Tell me about llama2"}],
    "temperature": 0,
    "top_p": 1,
    "max_tokens": 1024,
    "stream": true
  }'
