# Python 3, all of its objects by malloc: JSON, threads, and a pool of forked processes that is made
# while threads run.
. "$(dirname "$0")/common.sh"
need_python

cat >program.py <<'END'
import hashlib
import json
import multiprocessing
import threading
import zlib


def document(seed, size):
    return {f"key {i}": {"list": list(range(i % 50)), "text": "\u00e9" * (i % 300),
                         "number": (i * seed) / 7, "nested": [{"i": i}] * (i % 4)}
            for i in range(size)}


def work(seed):
    text = json.dumps(document(seed, 2000), sort_keys=True)
    assert json.loads(text) == document(seed, 2000)
    packed = zlib.compress(text.encode() * 2)
    assert zlib.decompress(packed).decode() == text * 2
    return hashlib.sha256(text.encode()).hexdigest()


def main():
    results = {}
    threads = [threading.Thread(target=lambda seed=seed: results.update({seed: work(seed)}))
               for seed in range(4)]
    for thread in threads:
        thread.start()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pooled = pool.map(work, range(10, 22))
    for thread in threads:
        thread.join()
    for seed in sorted(results):
        print(seed, results[seed])
    print("\n".join(pooled))


main()
END

export PYTHONMALLOC=malloc PYTHONHASHSEED=0
same_output "$(basename "$python")" "$python" program.py
[ "$(wc -l <plain.output)" = 16 ] || fail "the program printed too little"
passed
