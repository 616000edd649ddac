"""Words of the prompts: what things are called, how many, which backgrounds."""

from __future__ import annotations

from families.embedded.emoji import catalogue

# Where people say something else than CLDR: label → what it is called, the usual word first.
CALLED: dict[str, tuple[str, ...]] = {
    "dog face": ("dog", "puppy"),
    "cat face": ("cat", "kitten"),
    "tiger face": ("tiger",),
    "rabbit face": ("rabbit", "bunny"),
    "pig face": ("pig",),
    "monkey face": ("monkey",),
    "cow face": ("cow",),
    "mouse face": ("mouse",),
    "baby chick": ("chick", "baby chick"),
    "honeybee": ("bee", "honeybee"),
    "lady beetle": ("ladybug", "ladybird"),
    "spouting whale": ("whale", "spouting whale"),
    "tropical fish": ("fish", "tropical fish"),
    "red apple": ("red apple", "apple"),
    "tangerine": ("orange fruit", "tangerine"),
    "ear of corn": ("corn cob", "ear of corn"),
    "hamburger": ("hamburger", "burger"),
    "doughnut": ("donut", "doughnut"),
    "birthday cake": ("birthday cake", "cake"),
    "soft ice cream": ("ice cream cone", "ice cream"),
    "cheese wedge": ("piece of cheese", "cheese wedge"),
    "hot beverage": ("cup of coffee", "coffee"),
    "french fries": ("portion of french fries", "french fries"),
    "automobile": ("car", "red car"),
    "fire engine": ("fire truck", "fire engine"),
    "taxi": ("taxi", "yellow cab"),
    "bicycle": ("bicycle", "bike"),
    "sailboat": ("sailboat", "boat"),
    "airplane": ("airplane", "plane"),
    "locomotive": ("steam train", "locomotive"),
    "evergreen tree": ("fir tree", "evergreen tree"),
    "crescent moon": ("moon", "crescent moon"),
    "fire": ("flame", "fire"),
    "wrapped gift": ("gift", "present"),
    "soccer ball": ("soccer ball", "football"),
    "gem stone": ("diamond", "gem stone"),
    "jack-o-lantern": ("pumpkin", "jack-o-lantern"),
    "television": ("television", "TV"),
    "closed book": ("red book", "closed book"),
    "game die": ("die", "dice cube"),
    "running shoe": ("running shoe", "sneaker"),
    "red heart": ("red heart", "heart"),
    "house": ("house", "home"),
    "umbrella": ("umbrella", "parasol"),
    "frog": ("frog", "toad"),
    "panda": ("panda", "panda bear"),
    "rocket": ("rocket", "space rocket"),
    "guitar": ("guitar", "electric guitar"),
    "backpack": ("backpack", "school bag"),
    "telephone": ("red telephone", "telephone"),
}

# Mid-tones: the unconditional answer is then no extreme, and guidance has room on both sides.
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "red": (196, 72, 72),
    "orange": (214, 138, 66),
    "yellow": (214, 192, 88),
    "green": (92, 160, 88),
    "teal": (62, 146, 146),
    "blue": (76, 116, 196),
    "purple": (132, 88, 176),
    "pink": (214, 136, 172),
    "brown": (128, 94, 70),
    "grey": (134, 138, 144),
}

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
SIZES = {"small": 0.42, "normal": 0.74, "large": 0.94}
SIZE_WORDS = {"small": ("small", "tiny", "little"), "normal": ("",), "large": ("large", "big", "huge")}

_IRREGULAR = {"mouse": "mice", "goose": "geese", "die": "dice", "fish": "fish", "sheep": "sheep", "leaf": "leaves"}
_HEAD_FIRST = (" of ",)  # "cups of coffee", not "cup of coffees"


def names_of(label: str) -> tuple[str, ...]:
    """What a thing may be called in a prompt, the usual word first."""
    return CALLED.get(label, (label,))


def keywords_of(label: str) -> tuple[str, ...]:
    """CLDR keywords that may stand for the thing when it is alone."""
    return tuple(tag for tag in catalogue()[label].tags if tag.isalpha() and len(tag) > 2)


def article(name: str) -> str:
    """The name with its article: "an owl"."""
    return f"{'an' if name[0].lower() in 'aeio' or name.startswith('umb') else 'a'} {name}"


def plural(name: str) -> str:
    """The name in the plural: "cups of coffee", "foxes", "cherries"."""
    for marker in _HEAD_FIRST:
        if marker in name:
            head, tail = name.split(marker, 1)
            return plural(head) + marker + tail
    *before, last = name.split(" ")
    return " ".join([*before, _plural_word(last)])


def _plural_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word if word.endswith("s") and not word.endswith("ss") and word != "bus" else word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
