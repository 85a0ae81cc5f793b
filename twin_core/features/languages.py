"""Which language a text is in: a natural one by looking at its words, a programming one by its file.

Detection is lingua's, with few languages and loaded at the first text that is long enough to tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

# ISO 639-1 codes told apart. More languages make short texts less certain and loading slower.
DETECTED = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "cs", "ru", "uk", "tr", "zh", "ja", "ko")
_ENOUGH_LETTERS = 80
"""Below this many letters of prose a guess is worth less than knowing the author's language."""
_SAMPLE = 600
"""Characters of prose that are looked at: beyond that the answer does not change, and it is most of the time."""

_FENCED = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_NOT_PROSE = re.compile(r"`[^`\n]*`|https?://\S+|^(?: {4}|\t).*$|[#>*_|]+", re.MULTILINE)
_LETTERS = re.compile(r"[^\W\d_]")

# File name suffix -> tree-sitter's name of the language.
SUFFIXES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".tsx": "tsx", ".go": "go", ".rs": "rust", ".java": "java",
    ".kt": "kotlin", ".kts": "kotlin", ".scala": "scala", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hpp": "cpp", ".hh": "cpp", ".cs": "csharp", ".rb": "ruby", ".php": "php", ".swift": "swift",
    ".m": "objc", ".sh": "bash", ".bash": "bash", ".zsh": "bash", ".fish": "fish", ".ps1": "powershell",
    ".sql": "sql", ".r": "r", ".jl": "julia", ".lua": "lua", ".pl": "perl", ".pm": "perl", ".ex": "elixir",
    ".exs": "elixir", ".erl": "erlang", ".hs": "haskell", ".ml": "ocaml", ".clj": "clojure", ".el": "elisp",
    ".vim": "vim", ".dart": "dart", ".zig": "zig", ".nix": "nix", ".tf": "hcl", ".hcl": "hcl", ".proto": "proto",
    ".graphql": "graphql", ".css": "css", ".scss": "scss", ".html": "html", ".htm": "html", ".xml": "xml",
    ".vue": "vue", ".svelte": "svelte", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json",
    ".ini": "ini", ".cmake": "cmake", ".mk": "make", ".tex": "latex", ".typ": "typst",
}  # fmt: skip
_NAMES = {"dockerfile": "dockerfile", "makefile": "make", "cmakelists.txt": "cmake", "justfile": "just"}
_ALIASES = {
    "c++": "cpp",
    "c#": "csharp",
    "shell": "bash",
    "js": "javascript",
    "objective-c": "objc",
    "makefile": "make",
}


def natural_language(text: str, default: str) -> str:
    """ISO 639-1 code of the text's language; `default` (the author's) when it is too short or too mixed to tell."""
    prose = _NOT_PROSE.sub(" ", _FENCED.sub(" ", text[: _SAMPLE * 8]))[:_SAMPLE]
    if len(_LETTERS.findall(prose)) < _ENOUGH_LETTERS:
        return default
    found = _detector(default).detect_language_of(prose)
    return str(found.iso_code_639_1.name).lower() if found is not None else default


def programming_language(location: str, metadata: Mapping[str, object]) -> str:
    """The programming language: what the source stated, else by the file's name, else `text`."""
    stated = metadata.get("language")
    if isinstance(stated, str) and stated.strip():
        name = stated.strip().lower()
        return _ALIASES.get(name, name.replace(" ", ""))
    path = PurePosixPath(location.split("#", 1)[0].split("?", 1)[0])
    return _NAMES.get(path.name.lower()) or SUFFIXES.get(path.suffix.lower(), "text")


@lru_cache(maxsize=4)
def _detector(default: str) -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [code for code in dict.fromkeys((*DETECTED, default.lower()[:2])) if hasattr(IsoCode639_1, code.upper())]
    return (
        LanguageDetectorBuilder.from_iso_codes_639_1(*(getattr(IsoCode639_1, code.upper()) for code in codes))
        .with_low_accuracy_mode()
        .with_minimum_relative_distance(0.1)
        .build()
    )
