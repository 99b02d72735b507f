"""What the word lists are made of: WordNet, SCOWL, and rules for the sector of a word."""
import re
import subprocess
import unicodedata

WORDNET = '/usr/share/wordnet/'
LEXICOGRAPHER_FILES = (
    'adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body '
    'noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive '
    'noun.object noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation '
    'noun.shape noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication '
    'verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception '
    'verb.possession verb.social verb.stative verb.weather adj.ppl').split()
PARTS = {'n': 'noun', 'v': 'verb', 'a': 'adj', 'r': 'adv'}

# The commonest words come first in the starter list, which has no frequencies of its own for them.
FUNCTION_WORDS = (
    "the of and to in a is that for it was on with as he be by i this his at from or had not are but have an they "
    "which one you were all her she there would their we him been has when who will no more if out so up said what "
    "its about than into them can only other time new some could these two may first then do any like my now over "
    "such our man me even most made after also did many off before must well back through years much where your way "
    "down should because long each just state those people too mr how little good world make very year still see own "
    "work men day get here old life both between being under three never know same last another while us might great "
    "go come since against right came take used himself few house american use place during high without again home "
    "around small however found part school every don't does got united left number until always away something fact "
    "less though public put think almost hand enough far took head yet better set told nothing night end why called "
    "didn't eyes find going look asked later knew am is isn't aren't wasn't weren't won't can't couldn't shouldn't "
    "wouldn't i'm you're he's she's it's we're they're i've you've we've they've i'll you'll we'll they'll i'd you'd "
    "he'd she'd let's that's who's what's here's there's where's when's how's doesn't hasn't haven't hadn't once "
    "herself myself yourself ourselves themselves itself whom whose whether either neither nor upon toward towards "
    "among amongst within throughout despite except per via onto although unless shall ought anybody anyone anything "
    "everybody everyone everything nobody somebody someone several hers ours yours theirs above below").split()
CLOSED_CLASS = set(
    "the of and to in a is that for it was on with as he be by i this his at from or had not are but have an they "
    "which you were all her she there would their we him been has when who will no if out so up what its about than "
    "into them can only other some could these may then do any my such our me even most after also did many off "
    "before must through much where your down should because each just those too how very both between being under "
    "never same another while us might since against during without again around however every don't does until "
    "always though almost enough yet why am isn't aren't wasn't weren't won't can't couldn't shouldn't wouldn't "
    "didn't doesn't hasn't haven't hadn't i'm you're he's she's it's we're they're i've you've we've they've i'll "
    "you'll we'll they'll i'd you'd he'd she'd let's that's who's what's here's there's where's when's how's once "
    "himself herself myself yourself ourselves themselves itself whom whose whether either neither nor upon toward "
    "towards among amongst within throughout despite except per via onto although unless shall ought anybody anyone "
    "anything everybody everyone everything nobody nothing somebody someone something several hers ours yours theirs "
    "above below here now over".split())

WORD_BYTES = 63


def canonical(word):
    """NFC and lower case, or None for what no dictionary file can hold."""
    word = unicodedata.normalize('NFC', unicodedata.normalize('NFC', word).lower())
    if not word.strip() or word != word.strip() or any(ord(c) < 32 for c in word):
        return None
    return word if len(word.encode()) <= WORD_BYTES else None


def package_version(name):
    """Part of the list's own description: the same versions give the same list."""
    return subprocess.run(['dpkg-query', '-W', '-f', '${Version}', name], check=True, capture_output=True,
                          text=True).stdout


class WordNet:
    """Lemmas with the sector of their most-tagged sense, and how often all their senses were tagged."""

    def __init__(self):
        self.sector, self.tags, self.base = {}, {}, {}
        best = {}
        for key in self._senses():
            lemma, count, rank, part, lexicographer = key
            self.tags[lemma] = self.tags.get(lemma, 0) + count
            # Most tags; then the sense that WordNet puts first; then noun, verb, adverb, adjective.
            score = (count, -rank, {1: 4, 2: 3, 3: 2, 5: 2, 4: 1}[part])
            if lemma not in best or score > best[lemma]:
                best[lemma] = score
                self.sector[lemma] = LEXICOGRAPHER_FILES[lexicographer]
        for part in ('noun', 'verb', 'adj', 'adv'):
            with open(f'{WORDNET}{part}.exc', encoding='utf-8') as lines:
                for line in lines:
                    form, base = line.split()[:2]
                    self.base.setdefault(form.replace('_', ' '), base.replace('_', ' '))

    def _senses(self):
        """Lemma, tag count, rank, part of speech and lexicographer file, from the index and data files."""
        tags = {}
        with open(WORDNET + 'cntlist.rev', encoding='utf-8') as lines:
            for line in lines:
                key, _, count = line.split()
                lemma, rest = key.split('%')
                part, lexicographer = rest.split(':')[:2]
                place = (lemma, int(part), int(lexicographer))
                tags[place] = tags.get(place, 0) + int(count)
        for letter, part in (('noun', 1), ('verb', 2), ('adj', 3), ('adv', 4)):
            files = {}
            with open(f'{WORDNET}data.{letter}', encoding='utf-8') as lines:
                for line in lines:
                    if not line.startswith(' '):
                        offset, lexicographer, kind = line.split(' ', 3)[:3]
                        files[offset] = (int(lexicographer), 5 if kind == 's' else part)
            with open(f'{WORDNET}index.{letter}', encoding='utf-8') as lines:
                for line in lines:
                    if line.startswith(' '):
                        continue
                    fields = line.split()
                    lemma = fields[0]
                    seen = set()
                    for rank, offset in enumerate(fields[-int(fields[2]):], 1):
                        lexicographer, kind = files[offset]
                        place = (lemma, kind, lexicographer)
                        # Tags are counted by lexicographer file: each file's once.
                        count = 0 if place in seen else tags.get(place, 0)
                        seen.add(place)
                        yield lemma.replace('_', ' '), count, rank, kind, lexicographer

    # Ending and what stands for it in the base form.
    RULES = (('s', ''), ('ses', 's'), ('xes', 'x'), ('zes', 'z'), ('ches', 'ch'), ('shes', 'sh'), ('men', 'man'),
             ('ies', 'y'), ('es', 'e'), ('es', ''), ('ed', 'e'), ('ed', ''), ('ing', 'e'), ('ing', ''), ('er', ''),
             ('est', ''), ('er', 'e'), ('est', 'e'), ("'s", ''), ('ly', ''), ('ness', ''))

    def sector_of(self, word):
        """Sector and confidence (3 stated, 2 by the base form), or None."""
        if word in self.sector:
            return self.sector[word], 3
        base = self.base.get(word)
        if base in self.sector:
            return self.sector[base], 2
        for ending, instead in self.RULES:
            if word.endswith(ending) and len(word) - len(ending) >= 2:
                base = word[:len(word) - len(ending)] + instead
                if base in self.sector:
                    return self.sector[base], 2
                doubled = ending in ('ed', 'ing', 'er', 'est') and len(base) > 2 and base[-1] == base[-2]
                if doubled and not instead and base[:-1] in self.sector:
                    return self.sector[base[:-1]], 2
        return None

    def guesser(self):
        """Sectors by the longest ending that at least four lemmas share: right about half of the time."""
        counts = {}
        for lemma, sector in self.sector.items():
            if lemma.isalpha():
                for k in range(1, 7):
                    if len(lemma) > k:
                        ending = counts.setdefault(lemma[-k:], {})
                        ending[sector] = ending.get(sector, 0) + 1
        best = {ending: min(sectors, key=lambda s: (-sectors[s], s))
                for ending, sectors in counts.items() if sum(sectors.values()) >= 4}

        def guess(word):
            for k in range(6, 0, -1):
                if word[-k:] in best:
                    return best[word[-k:]]
            return 'noun.Tops'
        return guess


def classify(word, locale, wordnet, guess):
    """Sector and confidence: 3 a source says so, 2 by the base form, 1 by the language alone, 0 guessed."""
    if locale == 'en' and word in CLOSED_CLASS:
        return 'function', 3
    if re.fullmatch(r'[\d.,:/%+-]*\d[\d.,:/%+-]*', word):
        return 'number', 3
    if locale == 'en':
        return wordnet.sector_of(word) or (guess(word), 0)
    if wordnet.sector.get(word) == 'noun.location':
        return 'place', 2
    return 'lang.' + locale, 1


def scowl(names):
    """Words of SCOWL's lists in the given order, each with the number of the first list that has it."""
    found = {}
    for number, name in enumerate(names):
        with open('/usr/share/dict/' + name, encoding='utf-8') as lines:
            for line in lines:
                word = canonical(line.strip())
                if word and not word.endswith("'s"):
                    found.setdefault(word, number)
    return found


def write(path, about, rows, licences):
    """The list for `skyhub lexicon build`, and the licence texts beside it."""
    with open(path, 'w', encoding='utf-8', newline='\n') as out:
        for line in about:
            out.write(f'# {line}\n')
        for row in rows:
            out.write('\t'.join(map(str, row)) + '\n')
    with open(path + '.licence', 'w', encoding='utf-8', newline='\n') as out:
        out.write('\n'.join(about) + '\n')
        for title, text in licences:
            out.write(f'\n==== {title}\n\n{text.strip()}\n')


def debian_copyright(package):
    with open(f'/usr/share/doc/{package}/copyright', encoding='utf-8') as file:
        return f'Debian package {package}', file.read()
