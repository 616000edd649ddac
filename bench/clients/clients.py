"""The clients: name, packages as pinned, script, and what each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Client:
    """A client that others wrote; `packages` are of PyPI or npm, pinned."""

    name: str
    language: Literal["python", "node"]
    packages: tuple[str, ...]
    script: str
    api: str


CLIENTS = (
    Client("openai (Python)", "python", ("openai==3.57.0", "pillow==13.0.0"), "openai_python.py", "OpenAI"),
    Client("openai (Node)", "node", ("openai@7.57.0",), "openai_node.mjs", "OpenAI"),
    Client("LiteLLM", "python", ("litellm==1.110.2",), "litellm_images.py", "OpenAI"),
    Client(
        "LangChain (Python)",
        "python",
        ("langchain-community==0.4.2", "langchain-openai==1.7.4", "openai==3.57.0"),
        "langchain_python.py",
        "OpenAI",
    ),
    Client(
        "LangChain (JS)", "node", ("@langchain/openai@1.6.0", "@langchain/core@1.4.0"), "langchain_node.mjs", "OpenAI"
    ),
    Client("Vercel AI SDK", "node", ("ai@7.0.173", "@ai-sdk/openai@4.0.118"), "vercel_ai.mjs", "OpenAI"),
    Client("webuiapi", "python", ("webuiapi==0.9.17",), "webuiapi_client.py", "A1111"),
    Client("sd-backend-client", "python", ("sd-backend-client==0.5.0",), "sd_backend.py", "A1111"),
    Client("aaa1111", "python", ("aaa1111==0.1.0.dev7",), "aaa1111_client.py", "A1111"),
    Client(
        "image-generation-mcp",
        "python",
        ("image-generation-mcp[openai]==1.12.1",),
        "mcp_images.py",
        "OpenAI and A1111",
    ),
    Client("sd-parsers", "python", ("sd-parsers==0.6", "requests==2.34.2"), "sd_parsers_client.py", "metadata"),
    Client(
        "openapi-python-client",
        "python",
        ("openapi-python-client==0.29.1", "httpx==0.28.1", "attrs==25.4.0", "python-dateutil==2.9.0.post0"),
        "generated_client.py",
        "native",
    ),
)
