"""Runs a stage's Python source; what `python3 -c` is given stands behind forms.py and source.py, see python.rs for the protocol."""

import itertools
import json
import os
import sys
import traceback

TRACEBACK_CHARS_MAX = 12000
# A number of so many digits may not fit 64 bits, signed ones first; found by making all digits alike.
LONG_NUMBER = b"0" * 19
DIGITS = bytes(48 if 48 <= byte < 58 else 32 for byte in range(256))


def remote(error, skip):
    """The traceback as text, without the harness's own frames, cut at its front."""
    trace = error.__traceback__
    while trace and skip:
        trace, skip = trace.tb_next, skip - 1
    text = "".join(traceback.format_exception(type(error), error, trace)).strip()
    # Lone surrogates have no UTF-8, so they could not be sent.
    return text[-TRACEBACK_CHARS_MAX:].encode("utf-8", "replace").decode()


def outputs_of(result, outputs_max):
    """None is no output, an iterator is many, anything else is one."""
    if result is None:
        return []
    if hasattr(result, "__await__") or hasattr(result, "__anext__"):
        if hasattr(result, "close"):
            result.close()
        raise TypeError(f"`work` returned a {type(result).__name__}, and {NOBODY_AWAITS}")
    if not hasattr(result, "__next__"):
        return [result]
    outputs = list(itertools.islice(result, outputs_max + 1))
    if len(outputs) > outputs_max:
        raise OverflowError(f"more than {outputs_max} outputs of one unit (the limit expansion_units_max)")
    return outputs


def encode(value):
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=form)
    return text.encode() + b"\n"


def in_parts(result, answers):
    """Gives each output of an iterator as it comes: `{"part": output}`, a line each."""
    for output in result:
        line = encode_outputs([output], lambda said: {"part": said[0]} if isinstance(said, list) else said)
        answers.write(line)
        answers.flush()
        if not line.startswith(b"{"):
            # It says that this one has no form, which is the answer.
            return False
    return True


def may_be_too_long(line):
    return LONG_NUMBER in line.translate(DIGITS)


def encode_outputs(outputs, within=lambda said: said):
    """The line with these outputs, or with what says which part of them has no form."""
    try:
        line = encode(within(outputs))
        if not may_be_too_long(line):
            return line
    except Exception:
        line = None
    try:
        for index, output in enumerate(outputs):
            plain(output, "result" if len(outputs) == 1 else f"results[{index}]")
        return line or encode(within(outputs))
    except Exception as error:
        # Of interest is not where in here it was found, but where in what `work` returned it stands.
        return encode(within(remote(error, sys.maxsize)))


def keep_apart():
    """Whatever the source prints or reads must not meet the protocol, whichever way it does so."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)


def main():
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    keep_apart()
    at = ""
    words = Words(lambda: at)

    opening = json.loads(requests.readline() or b"null")
    if opening is None:
        return
    outputs_max, streams = opening["outputs_max"], opening["streams"]
    space = None
    try:
        loaded = load(
            opening["source"],
            opening["path"],
            lambda: (space["PIPELINE_UNIT"], space["PIPELINE_ATTEMPT"]),
        )
        refuse_async(loaded["work"])
        space, answer = loaded, encode([])
    except BaseException as error:
        answer = encode(with_words(remote(error, 2), words.end("")))
    while True:
        words.end()
        try:
            answers.write(answer)
            answers.flush()
        except BrokenPipeError:
            # The worker is gone.
            os._exit(0)
        line = requests.readline()
        if not line or space is None:
            return
        try:
            request = json.loads(line)
            at = request["unit"]
            space["PIPELINE_UNIT"] = request["unit"]
            space["PIPELINE_ATTEMPT"] = request["attempt"]
            result = space["work"](request["value"])
            if streams and hasattr(result, "__next__"):
                answer = encode([]) if in_parts(result, answers) else b""
            else:
                answer = encode_outputs(outputs_of(result, outputs_max))
        except BaseException as error:
            answer = encode(with_words(remote(error, 1), words.end(at)))
        else:
            words.end(at)

