"""starter.py WORDS FILE: the starter list, from Debian packages alone. Called by tools/lexicon-starter."""
import math
import sys

import sources

count, path = int(sys.argv[1]), sys.argv[2]
wordnet = sources.WordNet()
guess = wordnet.guesser()
levels = sources.scowl(['american-english', 'american-english-large', 'american-english-huge'])

# No frequencies are at hand: the closed list comes first, then what WordNet's corpus tags most, then SCOWL's
# lists from the commonest on, shorter words first.
order = {word: i for i, word in reversed(list(enumerate(sources.FUNCTION_WORDS)))}


def rank(word):
    base = wordnet.base.get(word, word)
    tags = wordnet.tags.get(word, 0) or wordnet.tags.get(base, 0) / 2
    return (order.get(word, len(order)), levels.get(word, 3) - 0.5 * math.log2(1 + tags), len(word), word)


candidates = set(levels) | set(order) | {
    lemma for lemma in wordnet.sector if sources.canonical(lemma) == lemma}
ranked = sorted(candidates, key=rank)[:count]
if len(ranked) < count:
    sys.exit(f'starter.py: the packages have only {len(ranked)} words')
packages = ['wordnet-base', 'wamerican', 'wamerican-large', 'wamerican-huge']
about = ['SkyNOD starter dictionary, English.',
         'Sources: Debian packages ' + ', '.join(f'{p} {sources.package_version(p)}' for p in packages) + '.',
         'Licence: the WordNet 3.0 licence and the licences of SCOWL, all permissive; see the licence file.',
         'Made by tools/lexicon-starter.']
rows = [(word, *sources.classify(word, 'en', wordnet, guess), 'en') for word in ranked]
sources.write(path, about, rows, [sources.debian_copyright('wordnet-base'), sources.debian_copyright('wamerican')])
