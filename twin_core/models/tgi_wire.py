"""What is on the wire of TGI's own route, `/generate_stream`: a prompt in, tokens out, adapters by `adapter_id`. No I/O.

That route takes a prompt and not a conversation: `/chat_tokenize` of the same server puts the model's chat template
around the messages. Shapes as TGI 3.3 documents them; errors are `{error, error_type}`, also as data of a stream that began
with HTTP 200, and a stream ends without `[DONE]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from twin_core.models.chat_wire import Finish, Malformed, Reported, Text, Usage, problem_of, shortened

BASE = "tgi"
"""The model's name in a request that asks for no adapter."""
_REASONS = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}


def generate_body(
    prompt: str,
    *,
    model: str,
    max_tokens: int,
    temperature: float | None,
    seed: int | None,
    schema: Mapping[str, object] | None,
) -> dict[str, object]:
    """The request for a prompt that has its chat template already. `model` is the adapter's id, or BASE."""
    parameters: dict[str, object] = {"max_new_tokens": max_tokens, "details": True, "return_full_text": False}
    if model != BASE:
        parameters["adapter_id"] = model
    if temperature:  # 0 is refused there: without sampling it is what 0 means
        parameters |= {"do_sample": True, "temperature": temperature}
    if seed is not None:
        parameters["seed"] = seed
    if schema is not None:
        parameters["grammar"] = {"type": "json", "value": schema}
    return {"inputs": prompt, "parameters": parameters}


def parse_templated(text: str) -> str:
    """The prompt in an answer of `/chat_tokenize`. Raises Reported or Malformed."""
    prompt = _object(text).get("templated_text")
    if not isinstance(prompt, str):
        raise Malformed("no templated text in the answer")
    return prompt


def parse_generated(data: str) -> list[Text | Finish | Usage]:
    """The pieces of one `data:` of the stream, in order. Raises Reported or Malformed."""
    item = _object(data)
    token = item.get("token")
    if not isinstance(token, dict) or not isinstance(token.get("text"), str):
        raise Malformed(f"no token: {shortened(data)!r}")
    pieces: list[Text | Finish | Usage] = [Text("" if token.get("special") else token["text"])]
    details = item.get("details")
    if isinstance(details, dict):
        reason = str(details.get("finish_reason"))
        pieces.append(Finish(_REASONS.get(reason, reason)))
        prompt, completion = details.get("input_length"), details.get("generated_tokens")
        if isinstance(prompt, int) and isinstance(completion, int):
            pieces.append(Usage(prompt_tokens=prompt, completion_tokens=completion))
    elif isinstance(item.get("generated_text"), str):  # the last item, of a server that gives no details
        pieces.append(Finish("stop"))
    return pieces


def _object(data: str) -> dict[str, object]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Malformed(f"not JSON: {shortened(data)!r}") from error
    if not isinstance(found, dict):
        raise Malformed(f"not an object: {shortened(data)!r}")
    if problem := problem_of(found):
        raise Reported(problem)
    return found
