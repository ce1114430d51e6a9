"""What a memory's path codes and decodes on the way, so that tensors take fewer bytes there."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from einsim.specs.errors import RuleError
from einsim.specs.units import Bytes

CodecFormat = Literal["run-length", "pattern"]


class Codec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one memory has tensors with zeros, which are whole everywhere else.

    `run-length`: values that are zero anywhere (`density`) as pairs of `run_bits` of zeros and the value
    after them, as many pairs as `word_bytes` hold. `pattern`: a tensor with a pattern in that format.
    """

    format: CodecFormat
    run_bits: int = 0
    word_bytes: int = 0


class WrittenCodec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A codec as written: `{run_bits: 5, word: 8B}` for runs of zeros, or `{format: pattern}`."""

    format: CodecFormat = "run-length"
    """`run-length` for zeros anywhere, or `pattern` for the format that a tensor's own pattern has."""
    run_bits: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    """Bits that count the zeros before a value."""
    word: Bytes | None = None
    """Bytes that pairs of a run and a value are packed into, whole pairs only: 64 at most."""

    def __post_init__(self) -> None:
        runs = self.format == "run-length"
        for name, value in (("run_bits", self.run_bits), ("word", self.word)):
            if runs and value is None:
                raise RuleError("is missing beside run-length", at=(name,))
            if not runs and value is not None:
                raise RuleError("is for run-length", got=value, at=(name,))
        if self.word is not None and not 1 <= int(self.word) <= 64:
            raise RuleError("must be 1B to 64B", got=self.word, at=("word",))

    def codec(self) -> Codec:
        """The machine's codec."""
        return Codec(format=self.format, run_bits=self.run_bits or 0, word_bytes=int(self.word or 0))
