#!/usr/bin/env python3
"""skynod-infer beside llama.cpp, in one run: bench.py INFERPROBE FOLDER [--json]. Started by tools/bench l2.

Times and memory are taken in turns, ours and theirs, each in a process of its own, so that a busy machine is busy for
both; of each the best of its rounds counts. Private memory is Private_Dirty of smaps_rollup when the context is full.
"""
import ctypes, json, os, re, subprocess, sys, time

ROUNDS, PROMPT, ANSWER = 4, 64, 64


def smaps():
    found = dict(re.findall(r"^(\w+): +(\d+) kB", open("/proc/self/smaps_rollup").read(), re.M))
    return int(found["Private_Dirty"])


def peer(path, kind, threads, count, answer):
    """In a process of its own: what llama.cpp takes. Prints JSON."""
    before = smaps()
    import llama_cpp as L
    import numpy as np

    quiet = L.llama_log_callback(lambda level, text, data: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    ready = smaps()
    opened, started = time.perf_counter(), 0.0
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    p = L.llama_context_default_params()
    p.n_ctx = p.n_batch = 512
    p.n_ubatch = 512 if kind == "embed" else 32
    p.n_threads = p.n_threads_batch = threads
    if kind == "embed":
        p.embeddings, p.pooling_type = True, 1
    context = L.llama_init_from_model(model, p)
    vocabulary = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    ids = [(300 + i * 37) % vocabulary for i in range(count)]
    best = [1e9, 1e9]

    def first_choice():
        return int(np.ctypeslib.as_array(L.llama_get_logits_ith(context, -1), shape=(vocabulary,)).argmax())

    for _ in range(3 if kind == "generate" else 20):
        if kind == "embed":
            batch = L.llama_batch_init(count, 0, 1)
            batch.n_tokens = count
            for i, t in enumerate(ids):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = t, i, 1, 0, 1
            start = time.perf_counter()
            assert L.llama_encode(context, batch) == 0
            _ = L.llama_get_embeddings_seq(context, 0)[0]
            best[0] = min(best[0], time.perf_counter() - start)
            L.llama_batch_free(batch)
            continue
        L.llama_memory_clear(L.llama_get_memory(context), True)
        start = time.perf_counter()
        many = (ctypes.c_int32 * count)(*ids)
        assert L.llama_decode(context, L.llama_batch_get_one(many, count)) == 0
        token = first_choice()
        middle = time.perf_counter()
        started = started or middle - opened
        for _ in range(answer):
            one = (ctypes.c_int32 * 1)(token)
            assert L.llama_decode(context, L.llama_batch_get_one(one, 1)) == 0
            token = first_choice()
        best = [min(best[0], middle - start), min(best[1], time.perf_counter() - middle)]
    # Without what Python and the library took before there was a model.
    print(json.dumps({"first": best[0], "second": best[1], "private_kb": smaps() - ready, "library_kb": ready - before,
                      "start": started}))


def theirs(path, kind, threads, count, answer=0):
    done = subprocess.run([sys.executable, __file__, "--peer", path, kind, str(threads), str(count), str(answer)],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def ours(program, path, kind, threads, count, answer=0, repeats=None):
    words = ["speed", count, answer] if kind == "generate" else ["embed", count]
    repeats = repeats or {"generate": 3, "embed": 20}[kind]
    env = dict(os.environ, SKY_THREADS=str(threads), SKY_REPEATS=str(repeats))
    out = subprocess.run([program, path, *map(str, words)], capture_output=True, text=True, check=True, env=env).stdout
    first = min(int(n) for n in re.findall(r"(?:prompt|embed)_us=(\d+)", out)) / 1e6
    second = min((int(n) for n in re.findall(r"generate_us=(\d+)", out)), default=0) / 1e6
    return {"first": first, "second": second, "private_kb": int(re.search(r"Private_Dirty: +(\d+)", out)[1])}


def best(rounds):
    return {key: min(r[key] for r in rounds) for key in rounds[0]}


def both(program, path, kind, threads, count, answer=0, rounds=ROUNDS):
    a, b = [], []
    for _ in range(rounds):
        a.append(ours(program, path, kind, threads, count, answer))
        b.append(theirs(path, kind, threads, count, answer))
    return best(a), best(b)


def cold_start(program, path, rounds=ROUNDS):
    """Seconds to the first token of an answer to 16 tokens, of a file that is not in the page cache: ours from the start
    of the process, theirs from the start of loading."""
    def evict():
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    a, b = [], []
    for _ in range(rounds):
        evict()
        begun = time.perf_counter()
        ours(program, path, "generate", 1, 16, 1, repeats=1)
        a.append(time.perf_counter() - begun)
        evict()
        b.append(theirs(path, "generate", 1, 16, 1)["start"])
    return min(a), min(b)


def main(program, folder, as_json):
    rows = []

    def row(name, value, unit, other, goal=None, met=None):
        rows.append({"metric": name, "value": value, "unit": unit, "peer": other,
                     "ratio": value / other if other else None, "goal": goal, "met": met})

    for name in ("smollm2", "gemma3"):
        path = f"{folder}/{name}.gguf"
        if not os.path.exists(path):
            continue
        for threads in (1, 2):
            a, b = both(program, path, "generate", threads, PROMPT, ANSWER)
            speed, other = ANSWER / a["second"], ANSWER / b["second"]
            goal = name == "smollm2" and threads == 1
            row(f"{name}: generation, {threads} thread", speed, "tok/s", other, ">= 1.00 x" if goal else None,
                speed >= other if goal else None)
            row(f"{name}: prompt of {PROMPT}, {threads} thread", PROMPT / a["first"], "tok/s", PROMPT / b["first"])
        a, b = cold_start(program, path)
        row(f"{name}: cold start, to the first token", 1000 * a, "ms", 1000 * b)
        # The whole context in use, as it is when an answer is long: all of the cache has been written.
        a, b = both(program, path, "generate", 1, 496, 15, rounds=2)
        row(f"{name}: generation behind 496, 1 thread", 15 / a["second"], "tok/s", 15 / b["second"])
        mb, other = a["private_kb"] / 1024, b["private_kb"] / 1024
        row(f"{name}: private, context 512 full", mb, "MB", other, "<= 15" if name == "smollm2" else None,
            mb <= 15 if name == "smollm2" else None)
    path = f"{folder}/minilm.gguf"
    if os.path.exists(path):
        for count in (16, 64, 128):
            a, b = both(program, path, "embed", 1, count)
            ms, other = 1000 * a["first"], 1000 * b["first"]
            goal = count == 16
            row(f"minilm: {count} tokens", ms, "ms", other, "<= 6.7" if goal else None, ms <= 6.7 if goal else None)
            if count == 128:
                row("minilm: private, 128 tokens", a["private_kb"] / 1024, "MB", b["private_kb"] / 1024, "<= 5",
                    a["private_kb"] / 1024 <= 5)
    good = all(r["met"] is not False for r in rows) and bool(rows)
    if as_json:
        print(json.dumps({"benchmark": "l2", "peer": "llama.cpp", "metrics": rows, "met": good}, indent=2))
    else:
        print("l2, beside llama.cpp (llama-cpp-python 0.3.36)")
        print(f"  {open('/proc/loadavg').read().split()[0]} load, {os.cpu_count()} processors")
        print(f"{'metric':40} {'value':>9} {'unit':6} {'peer':>9} {'ratio':>6}  {'goal':10} met")
        for r in rows:
            met = "-" if r["met"] is None else "yes" if r["met"] else "NO"
            print(f"{r['metric']:40} {r['value']:9.2f} {r['unit']:6} {r['peer']:9.2f} {r['ratio']:6.2f}  {r['goal'] or '-':10} {met}")
        print("every goal is met" if good else "NOT every goal is met")
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
    elif len(sys.argv) < 3:
        sys.exit(__doc__)
    else:
        sys.exit(main(sys.argv[1], sys.argv[2], "--json" in sys.argv))
