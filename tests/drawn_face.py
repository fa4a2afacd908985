"""A face that tests draw, which OpenCV's cascades find."""

import numpy as np


def drawn_face(height=240, middle=(0.5, 0.5), size=0.3, eyes=True, smile=True, gape=0.0, light=1.0):
    """A picture (height, 4/3 height, 3) with a face.

    middle  its place, from 0 to 1; size: half its height, as a share of the picture's
    gape    how far the mouth is open, as a share of the size
    light   what the colours are multiplied by
    """
    from PIL import Image, ImageDraw, ImageFilter

    image = Image.new("RGB", (height * 4 // 3, height), (120, 140, 160))
    draw, unit = ImageDraw.Draw(image), height * size
    across, down = middle[0] * image.width, middle[1] * height

    def at(x, y):
        return across + unit * x, down + unit * y

    def oval(x, y, wide, high, colour):
        draw.ellipse([at(x - wide, y - high), at(x + wide, y + high)], fill=colour)

    oval(0, -0.25, 1.0, 1.15, (60, 40, 30))  # hair
    oval(0, 0.1, 0.85, 1.15, (224, 180, 150))
    for side in (-1, 1):
        oval(side * 0.36, -0.12, 0.24, 0.14, (170, 120, 95))
        if eyes:
            oval(side * 0.36, -0.1, 0.17, 0.09, (245, 245, 245))
            oval(side * 0.36, -0.1, 0.08, 0.09, (40, 30, 30))
        draw.line([at(side * 0.58, -0.3), at(side * 0.16, -0.34)], (70, 45, 35), max(2, round(0.09 * unit)))
    draw.polygon([at(0, -0.1), at(-0.14, 0.35), at(0.14, 0.35)], fill=(208, 160, 130))
    oval(-0.08, 0.36, 0.05, 0.03, (120, 80, 60))
    oval(0.08, 0.36, 0.05, 0.03, (120, 80, 60))
    if gape:
        oval(0, 0.72, 0.25, gape, (90, 30, 30))
    elif smile:
        draw.arc([at(-0.36, 0.41), at(0.36, 0.81)], 20, 160, fill=(150, 60, 60), width=max(2, round(0.1 * unit)))
    blurred = image.filter(ImageFilter.GaussianBlur(height / 160))
    return np.clip(np.asarray(blurred) * light, 0, 255).astype(np.uint8)
