#!/usr/bin/env python3
"""Makes embeddings.jsonl: our own sentences with tokens and vectors, computed independently.

Nothing here is shared with the Rust code: the tokenizer is written after the description in BERT's
repository, the model is plain numpy in 64-bit floats. Needs numpy and the model's folder:

    python3 make.py ~/.cache/venom/models/all-MiniLM-L6-v2 > embeddings.jsonl
"""

import json
import math
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np

TOKENS_MAX = 256
TEXTS = [
    "",
    "The user prefers short answers with a code example.",
    "Grandma's allergy to hazelnuts was confirmed by Dr. Øksnes on 3 May; carry the EpiPen!",
    "Überraschung: die Schlüssel liegen im blauen Schälchen neben der Tür.",
    "生日是七月四日，喜欢喝绿茶。",
    "Deploy with `cargo build --release && ./venom --port 8080` -- never on Fridays... 🙈🚀",
    "a literal [CLS] and [MASK] in a note, a\u200bzero width space, a tab\tand cafe\u0301",
    "x" * 101 + " is one unknown word, " + "y" * 100 + " is not",
    "The bridge over the river was repaired before the winter came. " * 30,
]


def is_punctuation(c):
    return (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or unicodedata.category(c)[0] == "P"


def is_cjk(c):
    ranges = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)]
    ranges += [(0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
    return any(low <= ord(c) <= high for low, high in ranges)


def basic_words(text):
    cleaned = ""
    for c in text:
        if c.isspace():
            cleaned += " "
        elif c not in "\0\ufffd" and unicodedata.category(c)[0] != "C":
            cleaned += f" {c} " if is_cjk(c) else c
    stripped = "".join(c for c in unicodedata.normalize("NFD", cleaned) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if is_punctuation(c) else c for c in stripped.lower()).split()


def word_pieces(word, vocabulary):
    if len(word) > 100:
        return [vocabulary["[UNK]"]]
    ids, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                ids.append(vocabulary[piece])
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return ids


def tokenize(text, vocabulary):
    special = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"]
    ids = []
    while text:
        at, token = min((text.find(s) % (len(text) + 1), s) for s in special)
        for word in basic_words(text[:at]):
            ids += word_pieces(word, vocabulary)
        if at < len(text):
            ids.append(vocabulary[token])
        text = text[at + len(token) :]
    return [vocabulary["[CLS]"], *ids[: TOKENS_MAX - 2], vocabulary["[SEP]"]]


def read_weights(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    weights = {}
    for name, info in header.items():
        if info.get("dtype") == "F32":
            start, end = (8 + length + offset for offset in info["data_offsets"])
            weights[name] = np.frombuffer(data[start:end], "<f4").astype(np.float64).reshape(info["shape"])
    return weights


def embed(ids, w):
    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * w[name + ".LayerNorm.weight"] + w[name + ".LayerNorm.bias"]

    def dense(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def heads(x):
        return x.reshape(len(ids), 12, 32).transpose(1, 0, 2)

    e = "embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: len(ids)]
    x = norm(x + w[e + "token_type_embeddings.weight"][0], "embeddings")
    for layer in range(6):
        at = f"encoder.layer.{layer}."
        q, k, v = (heads(dense(x, f"{at}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(32))
        context = (scores / scores.sum(-1, keepdims=True)) @ v
        context = context.transpose(1, 0, 2).reshape(len(ids), 384)
        x = norm(dense(context, at + "attention.output.dense") + x, at + "attention.output")
        inner = dense(x, at + "intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(dense(inner, at + "output.dense") + x, at + "output")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def main():
    folder = Path(sys.argv[1])
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {token: i for i, token in enumerate(lines) if token}
    weights = read_weights(folder / "model.safetensors")
    for text in TEXTS:
        ids = tokenize(text, vocabulary)
        vector = [round(float(x), 7) for x in embed(ids, weights)]
        print(json.dumps({"text": text, "tokens": ids, "embedding": vector}))


if __name__ == "__main__":
    main()
