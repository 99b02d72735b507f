"""full.py WORDS FILE: the list of a million, from wordfreq and WordNet. Called by tools/lexicon-full.

Beside FILE it writes FILE.licence, and FILE.next with some of the words that had no place: what a benchmark looks
up in vain."""
import glob
import os
import sys
from importlib import metadata

import wordfreq

import sources

count, path = int(sys.argv[1]), sys.argv[2]
wordnet = sources.WordNet()
guess = wordnet.guesser()

# What one occurrence counts: English whole, the nine languages with the most speakers here a quarter, the
# others a twentieth.
COMMON = {'es', 'fr', 'de', 'pt', 'it', 'ru', 'zh', 'ja', 'ar'}


def weight(language):
    return 1.0 if language == 'en' else 0.25 if language in COMMON else 0.05


def lists():
    """Each language's largest list."""
    sizes = {}
    for file in sorted(glob.glob(os.path.dirname(wordfreq.__file__) + '/data/*.msgpack.gz')):
        name = os.path.basename(file).split('.')[0]
        if not name.startswith('_'):
            size, language = name.split('_')
            if sizes.get(language) != 'large':
                sizes[language] = size
    return sorted(sizes.items())


score, locale, origin = {}, {}, {}


def offer(word, value, language, source):
    word = sources.canonical(word)
    if word and value > score.get(word, 0):
        # A language keeps a word that it has most of; English all that WordNet knows.
        score[word], locale[word] = value, language
        origin.setdefault(word, source)


for language, size in lists():
    for word, frequency in wordfreq.get_frequency_dict(language, size).items():
        offer(word, frequency * weight(language), language, 'wordfreq')
for lemma, tags in wordnet.tags.items():
    # Rare, but sure to be in: between the words that wordfreq saw a few times in 10^8.
    offer(lemma, max(1.0001e-8, 1e-8 * (1 + tags) * (0.5 if ' ' in lemma else 1)), 'en', 'WordNet')

# Everything English and of WordNet has its place; the others fill up by their score.
sure = {word for word in score if locale[word] == 'en' and (score[word] >= 1e-8 or word in wordnet.sector)}
ranked = sorted(score, key=lambda word: (word not in sure, -score[word], len(word), word))
with open(path + '.next', 'w', encoding='utf-8', newline='\n') as out:
    out.writelines(word + '\n' for word in ranked[count:count + 1_200_000:4])
ranked = ranked[:count]
if len(ranked) < count:
    sys.exit(f'full.py: the packages have only {len(ranked)} words')
ranked.sort(key=lambda word: (-score[word], len(word), word))
by_origin = {source: sum(1 for word in ranked if origin[word] == source) for source in ('wordfreq', 'WordNet')}
about = ['SkyNOD dictionary, %d words in %d languages.' % (count, len({locale[word] for word in ranked})),
         'Sources: wordfreq %s (Robyn Speer), Debian package wordnet-base %s.' % (
             metadata.version('wordfreq'), sources.package_version('wordnet-base')),
         'Words first seen in: ' + ', '.join(f'{source} {n}' for source, n in by_origin.items()) + '.',
         'Licence: wordfreq\'s data are CC-BY-SA-4.0, and so is this file as a whole; see the licence file.',
         'Changes: lists joined, ranked and cut; sectors added. Made by tools/lexicon-full.']
rows = [(word, *sources.classify(word, locale[word], wordnet, guess), locale[word]) for word in ranked]
files = metadata.files('wordfreq') or []
own = [('wordfreq, ' + file.name, file.locate().read_text(encoding='utf-8'))
       for file in files if file.name in ('NOTICE.md', 'LICENSE.txt', 'LICENSE')]
readme = metadata.metadata('wordfreq').get_payload() or ''
if '## License' in readme:
    own.append(('wordfreq, README', '## License' + readme.split('## License', 1)[1]))
sources.write(path, about, rows, own + [sources.debian_copyright('wordnet-base')])
