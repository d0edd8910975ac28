"""The pictures of screens: small, with the original colours."""

import pytest
from PIL import Image

from tests.browser.stage.screenshots import COLOURS, in_few_colours

pytestmark = pytest.mark.slow

GROUND, CARD, WARNING = (245, 246, 248), (255, 255, 255), (214, 69, 56)


def a_screen() -> Image.Image:
    """Return a picture with a ground, a card, a warning of few pixels, and a smooth edge of many shades."""
    picture = Image.new("RGB", (400, 300), GROUND)
    picture.paste(CARD, (50, 50, 350, 200))
    picture.paste(WARNING, (60, 60, 70, 64))
    for step in range(256):
        picture.putpixel((step, 250), (step, 255 - step // 2, 128))
        picture.paste((min(255, 238 + step // 16), 246, 240 + step % 16), (step, 252, step + 1, 300))
    return picture


def test_colour_reduction_adds_no_colours() -> None:
    screen = a_screen()
    few = in_few_colours(screen)
    own = {colour for _, colour in screen.getcolors(100_000) or ()}
    left = {colour for _, colour in few.convert("RGB").getcolors(100_000) or ()}
    assert len(left) <= COLOURS < len(own)
    assert left <= own
    assert [few.convert("RGB").getpixel(place) for place in ((5, 5), (100, 100), (65, 62))] == [
        GROUND,
        CARD,
        WARNING,
    ]
