"""Saves pictures and films with the boxes drawn."""

from __future__ import annotations

from pathlib import Path

from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.predict import film
from detr2litert.host_runtime.predict.formats import unused
from detr2litert.host_runtime.predict.frames import is_film
from detr2litert.host_runtime.predict.prediction import Prediction


class Overlays:
    """Writes ``NAME.detections.png`` for each picture and ``NAME.detections.mp4`` for each film, numbered where names repeat.

    Args:
        folder: made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()
        self._film: film.FilmWriter | None = None

    def add(self, prediction: Prediction) -> Path:
        """Writes a picture, or a frame of a film, which is whole when the next source begins or at ``close``.

        Raises:
            UserError: it cannot be written.
        """
        frame = prediction.frame
        if frame.number is None:
            self.close()
            return self._save(prediction)
        if self._film is None or frame.number == 0:
            self.close()
            rate = film.rate(Path(frame.source)) if is_film(frame.source) else film.RATE
            self._film = film.FilmWriter(self._folder / f"{self._stem(frame.source)}.detections.mp4", rate)
        self._film.write(prediction.plot())
        return self._film.path

    def close(self, *, keep: bool = True) -> None:
        """Ends the film that is being written, which is kept, or removed."""
        if self._film is not None:
            ending, self._film = self._film, None
            ending.close(keep=keep)

    def _save(self, prediction: Prediction) -> Path:
        target = self._folder / f"{self._stem(prediction.frame.source)}.detections.png"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            prediction.plot().save(target)
        except OSError as error:
            # Pillow removes an incomplete picture.
            raise UserError(f"cannot write {target} ({reason(error)}); choose another folder with --save") from error
        return target

    def _stem(self, source: str) -> str:
        return unused(Path(source).stem, self._used)
