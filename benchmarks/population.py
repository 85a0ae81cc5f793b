"""How `twin_core/evaluation/population.tsv` is made: habits of people who write in English about software, as numbers.

    python benchmarks/population.py FOLDER > twin_core/evaluation/population.tsv

FOLDER holds a clone of each repository below as `owner+name` or `owner+name/repo`. Read is the stated commit, up to
20,000 words per author, in an order drawn once. No author of a collection that the ruler is tested on is among them.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from twin_core.evaluation.function_words import FUNCTION_WORDS
from twin_core.evaluation.habits import Habits, habits, together
from twin_core.evaluation.population import measured
from twin_core.evaluation.prose import prose

WORDS = 20_000
FEWEST = 4_000
SOURCES = (
    ("jwworth/til", "5928a20aaa2b4443273fb56a2096645b2b8fdb94", r"/.*\.md$", False),
    ("gaearon/overreacted.io", "fe5222ba48fa07c6d6d24d07d121b7e3867383ec", r"public/.*index\.md$", False),
    ("benbalter/benbalter.github.com", "34debc83cdd4e68c9724f0548d216205c3653b55", r"content/posts/", False),
    ("brandur/sorg", "b1301adc0a0326cefb59baa0c1fe22479d6f1045", r"content/(articles|fragments)/.*\.md$", False),
    ("karpathy/karpathy.github.io", "0c39d94ec1a22ec0e650adc2b530a347f09899e9", r"_posts/", False),
    ("kentcdodds/kentcdodds.com", "bf8867c534b929cb45ac67796d9c94e6ed732997", r"content/blog/.*\.mdx?$", False),
    ("matklad/matklad.github.io", "9fc2553bd6f2bba248f5055b1aee6c6f18f2c784", r"content/posts/", False),
    ("mojombo/mojombo.github.io", "2fa394c8ab9976c61631ba73abafe9ada6d3f1c4", r"_posts/", False),
    ("thoughtbot/til", "c69a5f720bdc06702123cbebc556ebf88e7eb91c", r"/.*\.md$", False),
    ("tonsky/tonsky.me", "4653222d3c9107fe2c386d78e03c3a810f57d733", r"site/blog/.*\.md$", False),
    ("robjhyndman/robjhyndman.com", "566d643a4aa7cc3e1cf3ffc56213e766253a50ee", r"hyndsight/.*\.(qmd|md|Rmd)$", False),
    ("rust-lang/blog.rust-lang.org", "0243724c2e50ad2b7ebd3d9dbc7cd88aed7605a3", r"content.*\.md$", False),
    ("lostechies/blog", "c9184d42a376ee722e3c93072abd62c4a395a370", r"^_[a-z]+/\d{4}.*\.(md|markdown)$", True),
)
"""Repository, commit, which files, and whether each folder is an author of its own."""


def main(folder: Path) -> None:
    authors = [author for source in SOURCES for author in read(folder, *source[:3], several=source[3])]
    print(
        "# kind\thabit\tuses per 1,000 words, mean of authors\tspread between authors, squared coefficient of variation"
    )
    print(
        f"# {len(authors)} authors, {sum(author.length for author in authors):,} words; made by benchmarks/population.py"
    )
    for kind, of in measured(authors).items():
        for habit, mean, spread in zip(of.habits, of.mean, of.spread, strict=True):
            print(f"{kind}\t{habit}\t{mean * 1000:.4g}\t{spread:.3g}")


def read(folder: Path, repository: str, commit: str, pattern: str, *, several: bool) -> Iterator[Habits]:
    clone = folder / repository.replace("/", "+")
    git = ["git", "-C", str(clone / "repo" if (clone / "repo").is_dir() else clone)]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", commit], capture_output=True, text=True, check=True)
    files = sorted(name for name in listed.stdout.splitlines() if re.search(pattern, name))
    random.Random(0).shuffle(files)
    by_author = defaultdict(list)
    for name in files:
        by_author[name.split("/")[0] if several else repository].append(name)
    for _, names in sorted(by_author.items()):
        parts: list[Habits] = []
        for name in names:
            found = subprocess.run([*git, "show", f"{commit}:{name}"], capture_output=True, check=True)
            if paragraphs := prose(found.stdout.decode("utf-8", "replace")):
                parts.append(habits(paragraphs, FUNCTION_WORDS))
            if sum(part.length for part in parts) > WORDS:
                break
        if sum(part.length for part in parts) >= FEWEST:
            yield together(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
