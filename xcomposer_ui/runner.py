"""Runs a question under a strategy: events while it goes, a RunResult at the end. Knows neither torch nor gradio."""

from __future__ import annotations

from collections.abc import Generator

from xcomposer_ui.records import Event, Question, Status
from xcomposer_ui.settings import Settings


class Runner:
    """The lab's one way to a model; every face (page, endpoint, command line) goes through it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def warm_up(self) -> None:
        """Load libraries and weights in the background, so that the first run need not wait for them."""
        raise NotImplementedError

    def status(self) -> Status:
        """Where the lab stands; answers at once and loads nothing."""
        raise NotImplementedError

    def run(
        self,
        question: Question,
        strategy: str,
        half: str | None = None,
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Event, None, None]:
        """Yield Waiting, Loading, TextSoFar events, and one Finished last. Closing the generator stops the run.

        half, model, device: None for what the settings say (or "auto").
        Raises UserError for the user's mistakes, before anything is computed.
        """
        raise NotImplementedError
