"""Calls to a language model: request and response, a response cache on disk, and two ways to fill it.

`protocol` defines requests, their keys and answers. `cache` stores every answer, and `cache_writer` batches its writes.
`openai_engine` calls a live endpoint; `client` puts the cache in front of it, within the budget of `budget`; `session`
resolves many tasks with them. `batch` writes and reads OpenAI Batch files. `prompts` reads the prompt files. No module
here depends on the content of the requests.
"""
