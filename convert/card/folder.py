"""The folder that a model hub gets: the card as README.md and the bundle's files; and its upload."""

from __future__ import annotations

import shutil
from pathlib import Path

from detr2litert.convert.bundle import staged_folder
from detr2litert.host_runtime.bundle import Bundle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import MANIFEST_NAME

README = "README.md"
_LOG_IN = "log in with hf auth login"


def write_folder(destination: Path, card: str, bundle: Bundle) -> Path:
    """Writes card and bundle into a folder, whole or not at all.

    Raises:
        UserError: it cannot be written, or the folder holds something else.
    """
    with staged_folder(destination, zipped=False) as folder:
        (folder / README).write_text(card, encoding="utf-8")
        for name in (MANIFEST_NAME, *bundle.manifest.files):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path(name), target)
    return destination


def upload(folder: Path, repository: str) -> str:
    """Uploads a folder to a model hub as one commit, and makes the repository if there is none; returns its address.

    Uses the token that ``hf auth login`` stored, or the variable HF_TOKEN.

    Args:
        folder: of ``write_folder``.
        repository: ``OWNER/NAME``.

    Raises:
        UserError: the hub refuses (no token, no such owner, no permission), or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(repository, repo_type="model", exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, repo_type="model", folder_path=folder, commit_message="Bundle made by detr2litert"
        )
    except (HFValidationError, LocalTokenNotFoundError) as error:
        raise UserError(f"{repository} is not uploaded ({_line(error)}); name it OWNER/NAME, and {_LOG_IN}") from error
    except HfHubHTTPError as error:
        raise UserError(f"the hub refuses {repository} ({_line(error)}); check the name, and {_LOG_IN}") from error
    except Exception as error:
        # Of the HTTP library, which the hub's client chooses: each means that the hub was not reached.
        raise UserError(
            f"the hub cannot be reached ({_line(error)}); {folder} is whole: upload it when there is a network"
        ) from error
    return str(commit.commit_url)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
