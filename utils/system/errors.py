"""What a user can fix: one base class, and its kinds.

    except UserError as error: print(error)     # the message says where the problem is and how to fix it

Every command catches `UserError` once (utils/system/command.py). Only the standard library is imported: the bootstrap
cell of a notebook reads this file before any package is installed.
"""

import re
import reprlib

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
shown = _REPR.repr  # a value for messages, which stay short whatever it holds


def without_credentials(text: str) -> str:
    """`text` without the user and the password of the addresses in it."""
    return re.sub(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s'\"]*@", r"\1", text)


class UserError(ValueError):
    """Input, a parameter or a machine that the user must change. The message names the place and the fix."""


class FileError(UserError):
    """A file that is missing, cannot be read or does not hold what it should: the message names it and the fix."""


class ConversationError(UserError):
    """Input that cannot be used: says which file, conversation, utterance and field, and how to fix it."""


class OpinionError(UserError):
    """Texts, opinions or an opinion's adapter that cannot be used: says which file, text and field, and the fix."""


class InstructionError(UserError):
    """Instructions with answers that cannot be used: says which file, example and field, and the fix."""


class InputError(UserError):
    """An input that is there already: the message says how to replace it, or why not."""


class SplitError(UserError):
    """Shares that are none, or too few items for them: the message says what is possible."""


class ScoringError(UserError):
    """Input that cannot be scored. `side`, "gold" or "pred", says whose fault it is."""

    def __init__(self, side, where, problem, fix):
        super().__init__(f"{side}{where and f' conversation {where}'}: {problem}. {fix}.")
        self.side = side


class ModelError(UserError):
    """A model or adapter that cannot be used: the message says which, why, and what to do."""


class HubError(UserError):
    """What the hub refused or does not have: the message says what to do."""


class ExportError(UserError):
    """What cannot be exported: the message says why, and what to do instead."""


class ConfigError(UserError):
    """A parameter that does not exist or cannot have this value: the message names it and what is possible."""


class NotEnoughMemory(UserError):
    """A model that memory cannot suffice for: the message says how much it needs, and what to change."""


class DoesNotFit(UserError):
    """A single conversation or prompt (`name`, of `tokens` tokens) for which memory does not suffice."""

    def __init__(self, name: str, tokens: int):
        self.tokens = tokens
        super().__init__(
            f"memory ran out on {name} ({tokens} tokens with its questions), which is not done in parts. Leave it out, "
            "give a smaller model, quantization nf4 or (in training) gradient_checkpointing, or use a larger machine"
        )


class TrainingError(UserError):
    """Data that cannot be trained on or asked about: the message says which and what to do."""


class TooLong(TrainingError):
    """Conversations whose rows would hold more than `limit` tokens: `tokens` is {name: how many}, `what` what they are
    beside the text."""

    def __init__(self, tokens: dict[str, int], limit: int, what: str = ""):
        self.tokens = tokens
        named = [f"{name}: {count}" for name, count in tokens.items()]
        more = f" and {len(named) - 20} more" if len(named) > 20 else ""
        super().__init__(
            f"{', '.join(named[:20])}{more} tokens{what}, and a row holds at most {limit}. Raise max_row_tokens "
            f"(utils.predict: --max-row-tokens) to {max(tokens.values())} or more, or leave out "
            f"{'the conversation' if len(named) == 1 else 'these conversations'}"
        )


class TrackingError(UserError):
    """A tracker that is not installed: the message names the command that installs it."""


class PlaceError(UserError):
    """Something that a person must change about the place: the message says what."""


class ChainError(UserError):
    """A notebook that failed: the message names it, the cell and the cause."""


class EngineError(UserError):
    """Adapters that this route cannot serve, or a package that is missing: the message says what to do."""


class SynthesisError(UserError):
    """A label of which too few sentences can be kept: the message says why, and what to do."""


class RunError(UserError):
    """A run folder that cannot be used, or an input that an earlier step has not written yet."""
