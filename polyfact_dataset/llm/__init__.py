"""Calls to a language model: one request and answer format, a cache on disk, and two engines that fill it.

`protocol` has the request, its key and the answer; `cache` keeps every answer ever paid for; `openai_engine` asks a
live endpoint and `batch` writes and reads OpenAI Batch files; `client` puts cache and engine together within a
`meter`'s budget; `prompts` reads the prompt files. Nothing here knows what is asked.
"""
