"""Reads a folder back as the predecessor did, with the chromadb of this interpreter.

    read_chroma.py FOLDER [--collection NAME]

The last line tells as JSON what the collection has: id, text and metadata of every record with a text.
"""

import argparse
import json
import sys
from pathlib import Path

import chromadb
from chromadb.config import Settings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--collection", default="venom_memories")
    given = parser.parse_args()
    client = chromadb.PersistentClient(path=str(given.folder), settings=Settings(anonymized_telemetry=False))
    found = client.get_collection(given.collection).get(include=["documents", "metadatas"])
    rows = zip(found["ids"], found["documents"], found["metadatas"])
    memories = [{"id": id, "text": text, "metadata": metadata} for id, text, metadata in rows if text is not None]
    sys.stdout.write(json.dumps({"version": chromadb.__version__, "memories": memories}) + "\n")


if __name__ == "__main__":
    main()
