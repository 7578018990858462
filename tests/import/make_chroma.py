"""Writes a folder as the predecessor did, with the chromadb of this interpreter.

    make_chroma.py FOLDER COUNT [--collection NAME]

Ids are mem_<seconds>, documents, metadata with tags and timestamp. Then some memories are updated and deleted, and a
collection of another name is made. Embeddings are given, so that no model is needed. The last line tells as JSON
what is in the folder now.
"""

import argparse
import json
import sys
from pathlib import Path

import chromadb
from chromadb.config import Settings

FIRST_SECOND = 1_700_000_000
BATCH = 100


def embedding(number):
    return [float((number * 7 + place) % 11) + 0.5 for place in range(8)]


def memory(number):
    second = FIRST_SECOND + number
    metadata = {"timestamp": stamp(second), "source": "user", "weight": number / 2, "count": number}
    if number % 3:
        metadata["tags"] = ",".join(f"tag{place}" for place in range(number % 3))
    return {"id": f"mem_{second}", "text": f"Fact number {number}: the locker {number} is painted blue.", "metadata": metadata}


def stamp(second):
    from datetime import datetime, timezone

    return datetime.fromtimestamp(second, timezone.utc).isoformat()


def add(collection, memories):
    for start in range(0, len(memories), BATCH):
        part = memories[start : start + BATCH]
        collection.add(
            ids=[it["id"] for it in part],
            documents=[it["text"] for it in part],
            metadatas=[it["metadata"] for it in part],
            embeddings=[embedding(start + place) for place in range(len(part))],
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--collection", default="venom_memories")
    given = parser.parse_args()
    client = chromadb.PersistentClient(path=str(given.folder), settings=Settings(anonymized_telemetry=False))
    collection = client.get_or_create_collection(given.collection, metadata={"hnsw:space": "cosine"})
    memories = [memory(number) for number in range(given.count)]
    add(collection, memories)
    other = client.get_or_create_collection("another")
    other.add(ids=["x1"], documents=["Of another collection."], embeddings=[embedding(1)])
    # Read once, so that versions which apply their log when they read have applied what came so far.
    collection.get(limit=1)
    kept = {it["id"]: it for it in memories}
    ids = list(kept)
    if given.count >= 10:
        changed = kept[ids[3]]
        changed["text"] = "Fact number 3 was changed: the locker is green."
        changed["metadata"]["tags"] = "changed"
        collection.update(
            ids=[ids[3]], documents=[changed["text"]], metadatas=[{"tags": "changed"}], embeddings=[embedding(3)]
        )
        changed = kept[ids[4]]
        changed["text"] = "Fact number 4 came again: the locker is yellow."
        collection.upsert(
            ids=[ids[4]], documents=[changed["text"]], metadatas=[changed["metadata"]], embeddings=[embedding(4)]
        )
        collection.delete(ids=[ids[5], ids[6]])
        del kept[ids[5]], kept[ids[6]]
        again = {"id": ids[6], "text": "Fact number 6 is back.", "metadata": {"timestamp": stamp(FIRST_SECOND + 6)}}
        add(collection, [again])
        kept[ids[6]] = again
        collection.add(ids=["mem_1700900000"], embeddings=[embedding(1)], metadatas=[{"timestamp": stamp(1_700_900_000)}])
    sys.stdout.write(json.dumps({"version": chromadb.__version__, "memories": list(kept.values())}) + "\n")


if __name__ == "__main__":
    main()
