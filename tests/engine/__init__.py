"""The engine port, over the scripted engine and over the real vLLM."""
