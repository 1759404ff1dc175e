"""Captions made from names, keywords and categories."""

import re

TEMPLATES = {
    "emoji": ("an emoji of {}", "a picture of {}", "a {} emoji"),
    "clipart": ("clip art of {}", "a picture of {}", "a drawing of {}"),
}


def clean(text: str) -> str:
    """Lower case, one space between words, no quotes and no shortcode marks."""
    return re.sub(r"\s+", " ", re.sub(r"[_:“”\"‘’]", " ", text)).strip().lower()


def category_words(category: str) -> str:
    """A category as words."""
    return re.sub(r"[-_/]+", " ", category)


def distinct(words: list[str], name: str) -> list[str]:
    """Keywords in their first order without doubles, blanks and the name itself."""
    unique = dict.fromkeys(word for word in words if re.search("[a-z]", word))
    return [word for word in unique if word != name]


def make_captions(
    kind: str, name: str, keywords: list[str], group: str, subgroup: str
) -> list[str]:
    """Several captions for one picture, the plain name first."""
    first, second, third = TEMPLATES[kind]
    captions = [name, *(template.format(name) for template in TEMPLATES[kind])]
    if keywords:
        captions.append(f"{name}, {', '.join(keywords[:3])}")
        captions.append(first.format(", ".join(keywords[:2])))
    if len(keywords) > 3:
        captions.append(f"{name}, {', '.join(keywords[3:6])}")
        captions.append(second.format(", ".join(keywords[2:4])))
    captions.append(f"{name}, {category_words(subgroup)}")
    captions.append(third.format(category_words(group)))
    return list(dict.fromkeys(captions))
