"""What servers answer with when they are asked for log-probabilities, written by what their sources and documentation say
(the readers in cli/formats/logprobs_*.c are judged by it).

A place is a dictionary: "chosen", an entry, and "top", the entries of the most probable tokens, best first; an entry is a
tuple (id, bytes, logprob). `rank` of a place is the chosen token's, from 1. JSON has the numbers of f32, as servers do.
"""
import math
import struct

import numpy as np


def number(logprob):
    """As a server's JSON has it: f32, and no -inf."""
    return float(np.float32(logprob)) if math.isfinite(logprob) else -9999.0


def text_of(piece):
    return piece.decode(errors="replace")


def same(a, b):
    return a[0] == b[0]


def openai_entry(entry, bytes_as=list):
    return {"token": text_of(entry[1]), "logprob": number(entry[2]), "bytes": bytes_as(entry[1])}


def whole_text(places):
    return text_of(b"".join(place["chosen"][1] for place in places))


def openai_content(places):
    return [dict(openai_entry(place["chosen"]), top_logprobs=[openai_entry(entry) for entry in place["top"]])
            for place in places]


def openai_chat(*choices, name="chatcmpl-7"):
    """One answer, of a choice for each list of places."""
    return {"id": name, "object": "chat.completion", "created": 1732000000, "model": "gpt-x",
            "choices": [{"index": i, "message": {"role": "assistant", "content": whole_text(places), "refusal": None},
                         "logprobs": {"content": openai_content(places), "refusal": None}, "finish_reason": "stop"}
                        for i, places in enumerate(choices)],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}, "system_fingerprint": "fp_1"}


def openai_batch(places):
    return {"id": "batch_req_1", "custom_id": "task-1", "error": None,
            "response": {"status_code": 200, "request_id": "r1", "body": openai_chat(places)}}


def legacy_text(piece):
    """What is no whole character is "bytes:" and its bytes in hexadecimal."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def openai_legacy(places):
    """The k most probable tokens as an object, and the one that came where it is none of them: k + 1."""
    top = []
    for place in places:
        entries = list(place["top"])
        if not any(same(entry, place["chosen"]) for entry in entries):
            entries.append(place["chosen"])
        top.append({legacy_text(entry[1]): number(entry[2]) for entry in entries})
    starts = np.cumsum([0] + [len(text_of(place["chosen"][1])) for place in places])[:-1]
    return {"id": "cmpl-7", "object": "text_completion", "created": 1732000000, "model": "davinci",
            "choices": [{"text": whole_text(places), "index": 0, "finish_reason": "length",
                         "logprobs": {"tokens": [legacy_text(place["chosen"][1]) for place in places],
                                      "token_logprobs": [number(place["chosen"][2]) for place in places],
                                      "top_logprobs": top, "text_offset": [int(start) for start in starts]}}]}


def openai_responses(places):
    half = len(places) // 2
    part = lambda some: {"type": "output_text", "text": whole_text(some), "annotations": [], "logprobs": openai_content(some)}
    return {"id": "resp_7", "object": "response", "status": "completed", "model": "gpt-x",
            "output": [{"type": "reasoning", "id": "rs_1", "summary": []},
                       {"type": "message", "id": "msg_1", "role": "assistant",
                        "content": [part(places[:half]), part(places[half:])]}]}


def vllm_lists(place):
    """vLLM's dictionary of a place: the token that came, and then the k most probable ones; of k or k + 1 members."""
    return [place["chosen"]] + [entry for entry in place["top"] if not same(entry, place["chosen"])]


def vllm_chat(places, as_ids=False):
    """Chat completions cut that to k. With --return-tokens-as-token-ids tokens are "token_id:N", and so are their bytes."""
    def entry_of(entry):
        token = f"token_id:{entry[0]}" if as_ids else text_of(entry[1])
        return {"token": token, "logprob": number(entry[2]), "bytes": list(token.encode())}
    answer = openai_chat(places)
    content = [dict(entry_of(place["chosen"]), top_logprobs=[entry_of(e) for e in vllm_lists(place)[:len(place["top"])]])
               for place in places]
    answer["choices"][0]["logprobs"] = {"content": content}
    answer["choices"][0]["stop_reason"] = None
    answer["prompt_logprobs"] = None
    return answer


def vllm_places(places):
    """prompt_logprobs: null for the first, then {"<id>": {logprob, rank, decoded_token}}."""
    result = [None]
    for place in places[1:]:
        ranks = {entry[0]: i + 1 for i, entry in enumerate(place["top"])}
        result.append({str(entry[0]): {"logprob": number(entry[2]), "rank": ranks.get(entry[0], place["rank"]),
                                       "decoded_token": text_of(entry[1])} for entry in vllm_lists(place)})
    return result


def vllm_prompt(places, with_ids=True):
    """/v1/completions with prompt_logprobs: the text is the prompt, and what was made of it is not looked at."""
    choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length", "stop_reason": None,
              "prompt_logprobs": vllm_places(places)}
    if with_ids:
        choice["prompt_token_ids"] = [place["chosen"][0] for place in places]
    return {"id": "cmpl-8", "object": "text_completion", "created": 1732000000, "model": "m", "choices": [choice]}


def llama_entry(entry, value):
    return {"id": entry[0], "token": entry[1].decode(errors="ignore"), "bytes": list(entry[1]), **value}


def llama_server(places):
    logprob = lambda entry: number(entry[2]) if math.isfinite(entry[2]) else -struct.unpack("f", b"\xff\xff\x7f\x7f")[0]
    return {"index": 0, "content": whole_text(places), "tokens": [], "id_slot": 0, "stop": True, "model": "m",
            "tokens_predicted": len(places), "prompt": "p", "truncated": False, "stop_type": "limit",
            "completion_probabilities": [
                llama_entry(place["chosen"], {"logprob": logprob(place["chosen"]), "top_logprobs": [
                    llama_entry(entry, {"logprob": logprob(entry)}) for entry in place["top"]]}) for place in places]}


def llama_server_sampled(places):
    """post_sampling_probs."""
    prob = lambda entry: float(np.float32(math.exp(entry[2])))
    answer = llama_server(places)
    answer["completion_probabilities"] = [
        llama_entry(place["chosen"], {"prob": prob(place["chosen"]), "top_probs": [
            llama_entry(entry, {"prob": prob(entry)}) for entry in place["top"]]}) for place in places]
    return answer


def tgi_entry(entry, **more):
    return {"id": entry[0], "text": text_of(entry[1]), "logprob": number(entry[2]), **more}


def tgi(places):
    return {"generated_text": whole_text(places),
            "details": {"finish_reason": "length", "generated_tokens": len(places), "seed": 7, "prefill": [],
                        "tokens": [tgi_entry(place["chosen"], special=False) for place in places],
                        "top_tokens": [[tgi_entry(entry, special=False) for entry in place["top"]] for place in places]}}


def sglang(places):
    triple = lambda entry: [number(entry[2]), entry[0], text_of(entry[1])]
    return {"text": whole_text(places), "output_ids": [place["chosen"][0] for place in places],
            "meta_info": {"id": "sg-7", "prompt_tokens": 3, "completion_tokens": len(places), "e2e_latency": 0.5,
                          "finish_reason": {"type": "length"},
                          "output_token_logprobs": [triple(place["chosen"]) for place in places],
                          "output_top_logprobs": [[triple(entry) for entry in place["top"]] for place in places]}}


def ollama(places):
    """Its bytes are those of the text, damaged or not."""
    as_text = lambda piece: list(text_of(piece).encode())
    return {"model": "gemma3", "created_at": "2025-11-12T00:00:00Z", "response": whole_text(places), "done": True,
            "done_reason": "stop", "eval_count": len(places),
            "logprobs": [dict(openai_entry(place["chosen"], as_text),
                              top_logprobs=[openai_entry(entry, as_text) for entry in place["top"]]) for place in places]}


# Each by a name, with what entrol inspect calls it.
FORMATS = {
    "openai chat": (openai_chat, "OpenAI chat completions"),
    "openai batch": (openai_batch, "OpenAI chat completions"),
    "openai completions": (openai_legacy, "OpenAI completions"),
    "openai responses": (openai_responses, "OpenAI Responses"),
    "vllm chat": (vllm_chat, "vLLM"),
    "vllm prompt": (vllm_prompt, "vLLM"),
    "llama-server": (llama_server, "llama-server"),
    "tgi": (tgi, "TGI"),
    "sglang": (sglang, "SGLang"),
    "ollama": (ollama, "Ollama"),
}


def kld(tokens, logits, n_ctx):
    """llama-perplexity's file for chunks of n_ctx tokens: logits[chunk][row] for the second half of each, as its source
    says: levels of f32 arithmetic, from the greatest logit down to 16 below it."""
    n_vocab = logits.shape[-1]
    data = b"_logits_" + struct.pack("<iii", n_ctx, n_vocab, len(logits)) + np.asarray(tokens, "<i4").tobytes()
    for rows in logits:
        for z in rows.astype(np.float32):
            top, least = z.max(), max(z.min(), z.max() - np.float32(16))
            log_sum = np.float32(math.log(float(np.exp(z - top).astype(np.float64).sum())))
            scale = np.float32((top - least) / np.float32(65535))
            level = np.zeros(2 * ((n_vocab + 1) // 2), "<u2")
            if scale > 0:
                level[:n_vocab] = np.where(z > least, np.rint((np.float32(1) / scale) * (z - least)), 0)
            data += struct.pack("<ff", scale, np.float32(least - top - log_sum)) + level.tobytes()
    return data
