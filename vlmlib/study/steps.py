"""Steps by which images are chosen: what each was given, what it left out as bad, and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vlmlib.errors import MOST_BAD, VLMError, too_many

SHOWN = 5  # how many are named of each reason


@dataclass(frozen=True)
class Step:
    """What one step was given and left, of which things.

    - `bad`: how many it left out as bad, by reason; `named`: the first of each reason. `advice`:
      what to do where too few are left.

    !!! example

        >>> step = Step.of("whole pictures", 300, [("7.jpg", "is missing")])
        >>> step.left, step.told
        (299, '299 of 300 whole pictures, 1 bad: is missing (7.jpg)')
    """

    name: str
    given: int
    left: int
    bad: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, list[str]] = field(default_factory=dict)
    advice: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        given: int,
        bad: Iterable[tuple[str, str]] = (),
        left: int | None = None,
        advice: str = "",
    ) -> "Step":
        """**Arguments:** the bad ones with what is wrong with each, in general words, and after a
        colon in particular; `left`: where more than the bad ones are left out."""
        counts: dict[str, int] = {}
        named: dict[str, list[str]] = {}
        for what, fault in bad:
            reason, _, detail = map(_line, fault.partition(": "))
            counts[reason] = counts.get(reason, 0) + 1
            if counts[reason] <= SHOWN:
                named.setdefault(reason, []).append(": ".join(filter(None, [_line(what), detail])))
        found = given - sum(counts.values())
        return cls(name, given, found if left is None else left, counts, named, advice)

    @property
    def all_bad(self) -> int:
        return sum(self.bad.values())

    @property
    def reasons(self) -> str:
        """What was wrong, with examples."""
        return "; ".join(
            f"{'' if count == self.all_bad else f'{count} '}{reason} ({self._names(reason)})"
            for reason, count in sorted(self.bad.items(), key=lambda each: -each[1])
        )

    @property
    def told(self) -> str:
        """The step in a line."""
        told = f"{self.left:,} of {self.given:,} {self.name}"
        return f"{told}, {self.all_bad:,} bad: {self.reasons}" if self.bad else told

    def check(self, most_bad: float = MOST_BAD) -> None:
        """**Raises:** `VLMError` if more than a share of what it was given is bad, though never for
        a single one, or if it leaves none of it."""
        more = too_many(self.all_bad, self.given, most_bad)
        if (self.left or not self.given) and not more:
            return
        share = f" ({self.all_bad / self.given:.1%}, at most {most_bad:.1%})" if more else ""
        bad = f" Bad: {self.all_bad:,}{share}, {self.reasons}." if self.bad else ""
        left = f"At the step {self.name!r} {self.left:,} of {self.given:,} are left."
        raise VLMError(f"{left}{bad} {self.advice}".rstrip())

    def _names(self, reason: str) -> str:
        more = self.bad[reason] - len(self.named[reason])
        return ", ".join([*self.named[reason], *([f"and {more:,} more"] if more else [])])


def _line(text: str) -> str:
    """A text that cannot tear a line apart, whatever a file is named."""
    return text if text.isprintable() else ascii(text)[1:-1]
