"""Serving the page: on this machine, without anything from outside, until it is interrupted."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

# Before Gradio is imported: no statistics, no look for newer versions.
_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO_FONTS = ("ui-monospace", "Menlo", "Consolas", "monospace")


@contextmanager
def prepared_gradio() -> Iterator[None]:
    """Import Gradio so that it stays offline, and remove its temporary files at the end.

    They are in a folder that only this user can read. SIGTERM raises KeyboardInterrupt, so that
    they are removed then, too.

    Raises:
        ImportError: Gradio is missing.
    """
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="mms_ocr_web_") as folder:
            os.environ.update(_SETTINGS, GRADIO_TEMP_DIR=folder)
            _import_gradio()
            yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _import_gradio() -> None:
    # A proxy would get Gradio's request to its own server.
    local = [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1", "localhost"]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(filter(None, local))
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the web page needs Gradio ({error}): pip install 'mms_ocr[web]'"
        ) from error


def choose_port(host: str, port: int) -> int:
    """Check that a port is free; 0 chooses a free one.

    Raises:
        OSError: It is in use, needs rights, or there is no such host.
    """
    if not 0 <= port < 1 << 16:
        raise ValueError(f"--port is {port}; give 0 (any free port) to 65535")
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except socket.gaierror as error:
        raise OSError(f"--host {host}: {error.strerror}") from error
    except OSError as error:
        raise OSError(
            f"cannot listen on port {port} of {host}: {error.strerror}; choose another --port or "
            "--host"
        ) from error


def serve(
    build: Callable[[], Any],
    host: str,
    port: int,
    opens_browser: bool,
    ready: Callable[[str], None],
) -> None:
    """Build a page and serve it until SIGINT or SIGTERM.

    Args:
        build: Builds the page, a ``gr.Blocks``.
        host: Address to listen on.
        port: A free port.
        opens_browser: Whether to open the page in the user's browser.
        ready: Called with the address when the page can be opened.
    """
    stop = threading.Event()
    page = build()
    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        _, url, _ = page.launch(**launch_options(host, port))
        ready(url)
        if opens_browser:
            webbrowser.open(url)
        while not stop.wait(0.5):
            pass
    finally:
        page.close(verbose=False)
        for number, handler in zip(signals, handlers):
            signal.signal(number, handler)


def launch_options(host: str, port: int) -> dict[str, Any]:
    """Make the arguments of ``gr.Blocks.launch``: fonts of the system, no links, no uploads."""
    import gradio as gr

    from mms_ocr.apis.web.page import FOLDER

    theme = gr.themes.Base(
        primary_hue="indigo", neutral_hue="zinc", font=list(_FONTS), font_mono=list(_MONO_FONTS)
    ).set(
        # The subdued gray of labels is hard to see on white.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*body_text_color",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_label_text_color_dark="*body_text_color",
    )
    return dict(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        max_file_size=1,  # byte: the page does not use Gradio's uploads
        theme=theme,
        css_paths=FOLDER / "page.css",
    )


def can_open_browser() -> bool:
    """Return whether there is a screen; without one, a browser in the terminal would start."""
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(has_screen) or os.name == "nt" or os.uname().sysname == "Darwin"
