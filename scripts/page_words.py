"""The words in which the page and the summary speak of customers and purchases.

Variable clv_words replaces them: {customer: member, purchase: trip}. Plurals, capitals
and a or an follow. Names of tables and columns stay, and so do standard terms.
"""

import re
from functools import cached_property

# What may be replaced, and the title of the page.
KEYS = ("customer", "purchase day", "purchase", "order", "buy", "buys", "bought")
TITLE = "Customer lifetime value"
# Terms of the literature, in which the words are not replaced.
TERMS = (
    "customer lifetime value",
    "customer acquisition cost",
    "customer equity",
    "purchase model",
)


class Words:
    """Replaces words in texts of ours, as clv_words says."""

    def __init__(self, given: dict[str, str] | None = None) -> None:
        given = given or {}
        self.title = given.get("title", TITLE)
        # A plural is that of the last word, unless it is given.
        self.new = {key: given[key] for key in KEYS if key in given}
        for key in ("customer", "purchase day", "purchase", "order"):
            if key in given:
                self.new[f"{key}s"] = given.get(f"{key}s", f"{given[key]}s")

    @cached_property
    def pattern(self) -> re.Pattern:
        """The terms that stay, else a word, perhaps after a or an."""
        longest = sorted(self.new, key=len, reverse=True)
        return re.compile(
            rf"\b(?:{'|'.join(TERMS)})s?\b"
            rf"|(?:\b(an?) )?(?<![\w/.])({'|'.join(longest)})(?![\w/])",
            re.IGNORECASE,
        )

    def __call__(self, text: str) -> str:
        """The text in these words."""
        return self.pattern.sub(self.replace, text) if self.new else text

    def replace(self, found: re.Match) -> str:
        """One word that was found, or a term as it is."""
        article, word = found.groups()
        if not word:
            return found[0]
        new = self.new[word.lower()]
        if word[0].isupper():
            new = new[0].upper() + new[1:]
        if not article:
            return new
        vowel = new[0].lower() in "aeiou"
        return f"{article[0]}{'n' if vowel else ''} {new}"


PLAIN = Words()
