"""Writes a folder with what few have, with the chromadb 1.5 of this interpreter: lists in metadata, a second database
with a collection of the same name, and a collection whose name is longer than that of a space.

    make_odd.py FOLDER
"""

import sys

import chromadb
from chromadb.config import Settings

SETTINGS = Settings(anonymized_telemetry=False, is_persistent=True, persist_directory=sys.argv[1])


def main():
    chromadb.AdminClient(SETTINGS).create_database("second")
    first = chromadb.PersistentClient(path=sys.argv[1], settings=SETTINGS)
    second = chromadb.PersistentClient(path=sys.argv[1], settings=SETTINGS, database="second")
    lists = {"tags": ["l1", "l2"], "people": ["ann", "bob"], "numbers": [1, 2], "flags": [True, False]}
    for client, name, id, text, metadata in [
        (first, "venom_memories", "mem_1700000001", "With lists.", lists),
        (first, "venom_memories", "mem_1700000002", "Much is known of it.", {"blob": "z" * 100_000}),
        (first, "n" * 200, "mem_1700000001", "Of a long name.", {"x": 1}),
        (second, "venom_memories", "mem_1700000001", "Of the second database.", {"x": 1}),
    ]:
        collection = client.get_or_create_collection(name)
        collection.add(ids=[id], documents=[text], metadatas=[metadata], embeddings=[[1.0, 2.0]])


if __name__ == "__main__":
    main()
