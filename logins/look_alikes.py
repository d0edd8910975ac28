"""Letters of other scripts that look like Latin ones, so that a name of such letters alone is taken for a Latin one.

Source: Unicode Technical Standard 39, *Whole-Script Confusables*, with those letters of its `confusables.txt` that a
reader cannot tell apart in one typeface.
"""

_LATIN_OF = str.maketrans(
    {
        # Cyrillic
        **dict(zip("аԁеһіјӏорԛсѕԝху", "adehijlopqcswxy", strict=True)),
        **dict(zip("АВЕКМНОРСТХУЅІЈԌԚԜ", "ABEKMHOPCTXYSIJGQW", strict=True)),
        # Greek
        **dict(zip("αινορυγ", "aivopuy", strict=True)),
        **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
        # Armenian
        **dict(zip("օսհոցզ", "ouhngq", strict=True)),
        **dict(zip("ՕՍԼ", "OUL", strict=True)),
    }
)


def latin_look_alike(name: str) -> str:
    """Return the Latin name that looks the same; the name itself if one of its letters looks like no Latin one."""
    spelled = name.translate(_LATIN_OF)
    return spelled if all(not letter.isalpha() or letter.isascii() for letter in spelled) else name
