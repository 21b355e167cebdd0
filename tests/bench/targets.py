"""What is measured: this proxy in pass-through and conversions, and what stands beside it.

A target is a command that listens on `{port}` of the loopback address and asks the simulated provider on `{upstream}`.
Configuration files are written into a folder of the run.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.scenarios import USUAL

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SAY = '"messages":[{"role":"user","content":"#K000000 Say something long about proxies."}]'
STREAMED = '{"model":"%s","stream":true,"max_tokens":1024,' + SAY + "}"
CANONICAL = '{"model":"%s",' + SAY + "}"
RESPONSES = '{"model":"%s","stream":true,"input":"#K000000 Say something long about proxies."}'
UI_CHAT = (
    '{"model":"%s","id":"c1","messages":[{"id":"m1","role":"user",'
    '"parts":[{"type":"text","text":"#K000000 Say something long about proxies."}]}],"trigger":"submit-message"}'
)
GEMINI = '{"contents":[{"role":"user","parts":[{"text":"#K000000 Say something long about proxies."}]}]}'
ANTHROPIC_HEADERS = ("anthropic-version: 2023-06-01", "x-api-key: none")


@dataclass(frozen=True)
class Ports:
    """Where a target listens, where its upstream does, and where it may write files."""

    port: int
    upstream: int
    folder: Path


Command = Callable[[Ports], list[str]]


@dataclass(frozen=True)
class Target:
    """One row of the table."""

    name: str
    says: str
    command: Command | None
    """`None`: the load generator asks the upstream itself."""
    path: str = CHAT
    """May hold `%s`: the model's name."""
    body: str = STREAMED
    """Holds `%s` where the model's name belongs, unless the path does."""
    model: str = "bench"
    headers: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    scenarios: tuple[str, ...] = USUAL
    """Which of the usual scenarios are measured; others are when they are named."""
    is_slow: bool = False
    is_ours: bool = False
    boot_s: float = 30.0


# --- this proxy


def proxy_settings(ports: Ports, **more: object) -> dict[str, object]:
    """The configuration of this proxy: `bench*` is an OpenAI model, `abench*` an Anthropic one."""
    base = f"http://127.0.0.1:{ports.upstream}"
    return {
        "listen": f"127.0.0.1:{ports.port}",
        "providers": [
            {"name": "chat", "kind": "openai_chat", "base_url": f"{base}/v1", "api_key": "none"},
            {"name": "messages", "kind": "anthropic", "base_url": base, "api_key": "none"},
        ],
        "models": [
            {"name": "bench*", "targets": [{"provider": "chat"}]},
            {"name": "abench*", "targets": [{"provider": "messages"}]},
        ],
        "timeouts": {"first_event_s": 300, "idle_s": 300},
        "limits": {"max_streams": 20_000},
        "drain": {"lame_duck_s": 0, "deadline_s": 1},
        **more,
    }


def proxy_command(*launch: str, **more: object) -> Command:
    """This proxy, started by `python` with the arguments `launch` (default: as users do)."""

    def command(ports: Ports) -> list[str]:
        file = ports.folder / "proxy.yaml"  # JSON is YAML
        file.write_text(json.dumps(proxy_settings(ports, **more)))
        return [sys.executable, *(launch or ("-m", "proxy")), "serve", "--config", str(file)]

    return command


FEW = ("events", "short")

OURS = (
    Target("ours", "OpenAI -> OpenAI, untouched", proxy_command(), is_ours=True),
    Target(
        "ours-unlogged",
        "the same without access log, as the others",
        proxy_command(log={"access": False}),
        scenarios=FEW,
        is_ours=True,
    ),
    Target(
        "ours-anthropic-openai",
        "Anthropic caller, OpenAI provider",
        proxy_command(),
        path=MESSAGES,
        headers=ANTHROPIC_HEADERS,
        is_ours=True,
    ),
    Target("ours-openai-anthropic", "OpenAI caller, Anthropic provider", proxy_command(), model="abench", is_ours=True),
    Target(
        "ours-canonical-openai",
        "canonical caller, OpenAI provider",
        proxy_command(),
        path="/chat",
        body=CANONICAL,
        scenarios=FEW,
        is_ours=True,
    ),
    Target(
        "ours-responses-openai",
        "Responses caller, OpenAI provider",
        proxy_command(),
        path="/v1/responses",
        body=RESPONSES,
        scenarios=FEW,
        is_ours=True,
    ),
    Target(
        "ours-gemini-openai",
        "Gemini caller, OpenAI provider",
        proxy_command(),
        path="/v1beta/models/%s:streamGenerateContent?alt=sse",
        body=GEMINI,
        scenarios=FEW,
        is_ours=True,
    ),
    Target(
        "ours-ui-openai",
        "AI SDK caller, OpenAI provider",
        proxy_command(),
        path="/ui/chat",
        body=UI_CHAT,
        scenarios=FEW,
        is_ours=True,
    ),
)

# --- others


def nginx_command(ports: Ports) -> list[str]:
    return nginx(ports, f"server 127.0.0.1:{ports.upstream};", "http://provider")


def nginx(ports: Ports, servers: str, address: str, location: str = "") -> list[str]:
    """nginx without buffering, one process, connections to the provider kept."""
    temporary = "\n".join(
        f"  {name}_temp_path {ports.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = f"""daemon off; master_process off; pid {ports.folder}/nginx.pid; error_log {ports.folder}/nginx.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000; tcp_nodelay on;
{temporary}
  upstream provider {{ {servers} keepalive 4096; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{ports.port} backlog=4096;
    location / {{
      proxy_pass {address}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_read_timeout 300s; client_body_buffer_size 64k; {location}
    }}
  }}
}}
"""
    file = ports.folder / "nginx.conf"
    file.write_text(text)
    return ["nginx", "-c", str(file), "-p", str(ports.folder)]


def haproxy_command(ports: Ports) -> list[str]:
    file = ports.folder / "haproxy.cfg"
    file.write_text(f"""global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option http-no-delay
  option abortonclose
  http-reuse always
frontend callers
  bind 127.0.0.1:{ports.port} backlog 4096
  default_backend provider
backend provider
  server one 127.0.0.1:{ports.upstream} pool-max-conn 9000
""")
    return ["haproxy", "-db", "-f", str(file)]


def aiohttp_command(ports: Ports) -> list[str]:
    return [sys.executable, str(HERE / "relay.py"), str(ports.port), str(ports.upstream)]


LITELLM_KEY = "sk-0123456789abcdef0123456789abcdef"
LITELLM_ENVIRON = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MASTER_KEY": LITELLM_KEY,
    "LITELLM_MODE": "PRODUCTION",
}


def litellm_command(program: str) -> Command:
    def command(ports: Ports) -> list[str]:
        file = ports.folder / "litellm.yaml"
        file.write_text(f"""model_list:
  - model_name: "bench-*"
    litellm_params: {{model: "openai/bench-*", api_base: "http://127.0.0.1:{ports.upstream}/v1", api_key: "none"}}
litellm_settings:
  telemetry: false
  use_chat_completions_url_for_anthropic_messages: true
  num_retries: 0
  request_timeout: 600
general_settings: {{}}
""")
        given = ["--config", str(file), "--host", "127.0.0.1", "--port", str(ports.port)]
        return [program, *given, "--num_workers", "1", "--telemetry", "False"]

    return command


def litellm(program: str) -> tuple[Target, Target]:
    """LiteLLM's proxy as its documentation says for production: one worker, no request log."""
    key = f"Authorization: Bearer {LITELLM_KEY}"
    command = litellm_command(program)
    return (
        Target(
            "litellm",
            "LiteLLM, OpenAI -> OpenAI",
            command,
            headers=(key,),
            environ=LITELLM_ENVIRON,
            is_slow=True,
            boot_s=120,
        ),
        Target(
            "litellm-anthropic-openai",
            "LiteLLM, Anthropic caller, OpenAI provider",
            command,
            path=MESSAGES,
            headers=(key, ANTHROPIC_HEADERS[0]),
            environ=LITELLM_ENVIRON,
            scenarios=FEW,
            is_slow=True,
            boot_s=120,
        ),
    )


def litellm_version(at: str | None) -> str:
    """The version that `installed` found with the same argument."""
    python = Path(_litellm_program(at) or "").parent / "python"
    ask = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
    ran = subprocess.run([str(python), "-c", ask], capture_output=True, text=True)
    return ran.stdout.strip() or "of an unknown version"


def gateway(entry: str) -> Target:
    """A target out of `NAME=COMMAND`. Raises ValueError."""
    name, separator, command = entry.partition("=")
    if not separator or "{port}" not in command:
        raise ValueError(f"expected NAME=COMMAND with {{port}} and {{upstream}} in it, not {entry!r}")

    def made(ports: Ports) -> list[str]:
        filled = command.replace("{port}", str(ports.port)).replace("{upstream}", str(ports.upstream))
        return ["sh", "-c", f"exec {filled}"]

    return Target(name, f"{name}, OpenAI -> OpenAI", made)


def installed(litellm_at: str | None = None, gateways: tuple[str, ...] = ()) -> dict[str, Target]:
    """All targets of this machine. `litellm_at`: LiteLLM's command, or the environment that holds it."""
    targets = [Target("direct", "no proxy: what the measuring itself costs", None)]
    if shutil.which("nginx"):
        targets.append(Target("nginx", "nginx, without buffering", nginx_command))
    if shutil.which("haproxy"):
        targets.append(Target("haproxy", "HAProxy", haproxy_command))
    targets.append(Target("aiohttp", "a bare aiohttp relay", aiohttp_command))
    targets += OURS
    program = _litellm_program(litellm_at)
    if program is not None:
        targets += litellm(program)
    targets += [gateway(entry) for entry in gateways]
    return {target.name: target for target in targets}


def _litellm_program(at: str | None) -> str | None:
    if at is None:
        return shutil.which("litellm")
    path = Path(at)
    program = path / "bin/litellm" if path.is_dir() else path
    if not program.exists():
        raise ValueError(f"there is no {program}")
    return str(program.resolve())
