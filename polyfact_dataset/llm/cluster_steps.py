"""The steps of datatrove for batch files. This module imports datatrove; `cluster` imports it only when it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.inference.types import InferenceError
from datatrove.pipeline.writers.jsonl import JsonlWriter

_CHUNK_RECORDS = 500
_ANSWER = "rollout_results"


class BatchRequests(PipelineStep):  # type: ignore[misc]
    """Reads the requests of batch files; task r of n gets every n-th request."""

    name = "Batch requests"
    type = "Reader"

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self.paths = [str(path) for path in paths]

    def run(self, data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yields a document for each request of the task, with the request's key as its id."""
        del data  # The first step of a pipeline gets none.
        number = 0
        for path in self.paths:
            with open(path, "rb") as handle:
                for line in handle:
                    if number % world_size == rank:
                        entry = json.loads(line)
                        yield Document(id=entry["custom_id"], text="request", metadata={"body": entry["body"]})
                    number += 1


async def ask(document: Document, generate: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Sends a document's request; the rejection of one request is an answer, any other error ends the task."""
    body = dict(document.metadata["body"])
    body.pop("model")
    try:
        result = await generate(body)
    except InferenceError as error:
        if "BadRequestError" not in str(error.error):
            raise
        return {"status": 400, "message": str(error.error)}
    return {
        "status": 200,
        "text": result.text,
        "reasoning": result.reasoning,
        "finish_reason": result.finish_reason,
        "usage": result.usage,
    }


def batch_output(_writer: object, document: Document) -> dict[str, Any]:
    """The line of a batch output file for an answered document."""
    (answer,) = document.metadata[_ANSWER]
    if answer["status"] != 200:
        error = {"message": answer["message"], "code": answer["status"]}
        response: dict[str, Any] = {"status_code": answer["status"], "body": {"error": error}}
        return {"custom_id": document.id, "response": response, "error": error}
    message = {"role": "assistant", "content": answer["text"], "reasoning_content": answer["reasoning"] or None}
    if not answer["text"]:
        message["content"] = None
    body = {
        "model": document.metadata["body"]["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": answer["finish_reason"]}],
        "usage": answer["usage"],
    }
    return {"custom_id": document.id, "response": {"status_code": 200, "body": body}, "error": None}


def steps_of(inference: dict[str, Any], files: Sequence[Path], folder: Path) -> list[PipelineStep]:
    """The steps of a run. Raises `TypeError` or `ValueError` for arguments that datatrove rejects."""
    # Every machine must see the folder: a task of a lost machine continues elsewhere from its checkpoints.
    runner = InferenceRunner(
        rollout_fn=ask,
        config=InferenceConfig(**inference),
        output_writer=JsonlWriter(
            str(folder / "answers"), "${rank}_chunk_${chunk_index}.jsonl", compression=None, adapter=batch_output
        ),
        checkpoints_local_dir=str(folder / "checkpoints"),
        records_per_chunk=_CHUNK_RECORDS,
        metadata_key=_ANSWER,
    )
    return [BatchRequests(files), runner]
