"""What is left out of instructions with answers, and why.

kept, left_out = cleaned(examples, markers)      # left_out: [(example, reason)]

no answer           nothing can be seen in the output
broken encoding     a replacement character, a control character, or UTF-8 that was read as Windows-1252 (cafÃ©)
template marker     a heading of a prompt template, or a mark of a chat's turn, such as ### Response: or <|im_end|>
duplicate           instruction, input and output of an earlier one, but for white space and capitals
"""

import re
import unicodedata
from collections.abc import Sequence

from utils.data.formats.alpaca import Given
from utils.data.templates import marker_in
from utils.data.validation import is_blank

REASONS = ("no answer", "broken encoding", "template marker", "duplicate")
# What the second and later bytes of a character of UTF-8 are in Windows-1252.
_LATER = "".join(bytes([code]).decode("cp1252", "ignore") or chr(code) for code in range(0x80, 0xC0))
# Bytes of letters and of signs in most languages of Latin script, of punctuation, of emoji.
_MISREAD = re.compile(f"[ÂÃ][{re.escape(_LATER)}]|â[{re.escape(_LATER)}]{{2}}|ð[{re.escape(_LATER)}]{{3}}")


def same(*texts: str) -> str:
    """What texts that repeat each other are equal in: words and signs, without capitals."""
    return "\n".join(" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in texts)


def is_broken(text: str) -> bool:
    """Whether a text was damaged by a wrong encoding."""
    controls = any(unicodedata.category(one) == "Cc" and one not in "\n\r\t" for one in text)
    return controls or "\ufffd" in text or bool(_MISREAD.search(text))


def cleaned(examples: Sequence[Given], markers: Sequence[str]) -> tuple[list[Given], list[tuple[Given, str]]]:
    """(those that stay, those that are left out with the reason, one of REASONS), in their order; of examples without
    an output as questions."""
    kept, left_out, seen = [], [], set()
    for one in examples:
        texts = [one.fields[name] for name in ("instruction", "input", "output") if name in one.fields]
        key = same(*texts), one.fields.get("image")
        if is_blank(one.fields.get("output", "?")):
            reason = "no answer"
        elif any(map(is_broken, texts)):
            reason = "broken encoding"
        elif any(marker_in(text, markers) for text in texts):
            reason = "template marker"
        elif key in seen:
            reason = "duplicate"
        else:
            seen.add(key)
            kept.append(one)
            continue
        left_out.append((one, reason))
    return kept, left_out
