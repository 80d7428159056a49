"""Replies that the API's tests wrote, read by the types of OpenAI's own Python package. Argument: FOLDER, which holds
openai_replies.json. Says so and skips (77) where the package is missing."""

import json
import sys
import unittest
from pathlib import Path

try:
    from openai.types import Completion, CreateEmbeddingResponse, Model, ModelDeleted
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.responses import Response, ResponseStreamEvent
    from pydantic import TypeAdapter, ValidationError
except ImportError as missing:
    print(f"NOT RUN: {missing}; pip install openai==3.57.0")
    sys.exit(77)

TYPES = {
    "chat": ChatCompletion,
    "chat_chunk": ChatCompletionChunk,
    "completion": Completion,
    "completion_chunk": Completion,
    "response": Response,
    "response_event": ResponseStreamEvent,
    "model": Model,
    "deleted": ModelDeleted,
    "embedding": CreateEmbeddingResponse,
}
REPLIES = json.loads((Path(sys.argv[1]) / "openai_replies.json").read_text())


def as_typed(name: str, reply: dict) -> dict:
    """OpenAI's server and its Python types differ in two places of old completions: a stream's finish_reason is null up
    to the end, and so is what an echo tells of the first token."""
    if name == "completion_chunk" and reply["choices"][0]["finish_reason"] is None:
        reply["choices"][0]["finish_reason"] = "stop"
    if name == "completion" and reply["choices"][0]["logprobs"]:
        logprobs = reply["choices"][0]["logprobs"]
        if logprobs["token_logprobs"][0] is None:
            logprobs["token_logprobs"][0], logprobs["top_logprobs"][0] = 0.0, {}
    return reply


class OpenaiTypesTest(unittest.TestCase):
    def test_each_reply_is_of_its_type(self) -> None:
        for name, kind in TYPES.items():
            adapter = TypeAdapter(kind)
            self.assertTrue(REPLIES[name], name)
            for reply in REPLIES[name]:
                with self.subTest(name=name, reply=reply):
                    adapter.validate_json(json.dumps(as_typed(name, reply)), strict=True)
        for model in REPLIES["models"][0]["data"]:
            TypeAdapter(Model).validate_json(json.dumps(model), strict=True)

    def test_a_missing_field_is_noticed(self) -> None:
        for name, kind in TYPES.items():
            reply = dict(REPLIES[name][0])
            reply.pop("type" if name == "response_event" else "model" if "model" in reply else "object")
            with self.subTest(name=name), self.assertRaises(ValidationError):
                TypeAdapter(kind).validate_json(json.dumps(reply), strict=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
