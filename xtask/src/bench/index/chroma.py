"""Chroma on the vectors of a bench folder; prints a line of JSON with what it took.

    chroma.py FOLDER RESULTS QUESTIONS PERCENT...
"""

import json
import sys
import time
from pathlib import Path

import chromadb
import numpy
from chromadb.config import Settings

BATCH = 5_000
SINGLE = 100


def percentile(times, percent):
    times = sorted(times)
    return times[max(0, -(-len(times) * percent // 100) - 1)] * 1e3


def main():
    folder, results, percents = Path(sys.argv[1]), int(sys.argv[2]), [int(word) for word in sys.argv[4:]]
    dimensions = int((folder / "dimensions").read_text())
    vectors = numpy.fromfile(folder / "vectors", dtype="<f4").reshape(-1, dimensions)
    questions = numpy.fromfile(folder / "questions", dtype="<f4").reshape(-1, dimensions)
    questions, others = numpy.split(questions, [int(sys.argv[3])])
    client = chromadb.PersistentClient(str(folder / "chroma"), Settings(anonymized_telemetry=False))
    memories = client.create_collection("memories", configuration={"hnsw": {"space": "cosine"}})
    metadata = lambda row: {f"percent_{percent}": row % (100 // percent) == 0 for percent in percents}
    began = time.perf_counter()
    for start in range(0, len(vectors), BATCH):
        rows = range(start, min(start + BATCH, len(vectors)))
        memories.add(
            ids=[str(row) for row in rows],
            embeddings=vectors[start : start + BATCH],
            metadatas=[metadata(row) for row in rows],
        )
    bulk = len(vectors) / (time.perf_counter() - began)
    for question in others:
        memories.query(query_embeddings=[question], n_results=results, include=[])
    filters = []
    for percent in percents:
        where = {f"percent_{percent}": True} if percent < 100 else None
        times, found = [], []
        for question in questions:
            began = time.perf_counter()
            answer = memories.query(query_embeddings=[question], n_results=results, where=where, include=[])
            times.append(time.perf_counter() - began)
            found.append([int(row) for row in answer["ids"][0]])
        filters.append({"p50": percentile(times, 50), "p95": percentile(times, 95), "found": found})
    singles = []
    for number in range(SINGLE):
        began = time.perf_counter()
        memories.add(
            ids=[f"single {number}"],
            embeddings=[questions[number % len(questions)]],
            metadatas=[metadata(number)],
            documents=[f"made-up memory {number}"],
        )
        singles.append(time.perf_counter() - began)
    print(json.dumps({"filters": filters, "bulk": bulk, "single": percentile(singles, 50), "version": chromadb.__version__}))


main()
