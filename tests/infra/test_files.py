"""Every file of infra/ validates by the tool that owns its format, and none of them holds a secret or a default one."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
README = (INFRA / "README.md").read_text()


def parsed(name: str) -> Any:
    return yaml.safe_load((INFRA / name).read_text())


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is not installed; pip install -c infra/constraints.txt -e '.[test]'"
    return found


def test_the_dockerfile_passes_hadolint() -> None:
    ended = subprocess.run([tool("hadolint"), INFRA / "Dockerfile"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_image_runs_as_a_user_from_a_pinned_base_and_leaves_secrets_out() -> None:
    text = (INFRA / "Dockerfile").read_text()
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", text, re.MULTILINE)
    assert re.findall(r"^USER (\w+)", text, re.MULTILINE)[-1] == "1000"
    assert "infra/secrets" in (INFRA / "Dockerfile.dockerignore").read_text().split()
    assert "infra/secrets/" in (ROOT / ".gitignore").read_text().split()


def test_compose_passes_its_own_schema() -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", INFRA / "compose.yaml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_services_listen_on_loopback_with_pinned_images_and_passwords_from_files() -> None:
    compose = parsed("compose.yaml")
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert "build" in service or re.search(r":[\w.-]*\d[\w.-]*$", service["image"]), name
        for key, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|KEY", key) or key.endswith("_FILE"), (name, key, value)
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
    assert {secret["file"] for secret in compose["secrets"].values()} <= {
        f"./secrets/{name}" for name in re.findall(r"infra/secrets/(\w+)", README)
    }
    mlflow = compose["services"]["mlflow"]
    assert "--app-name basic-auth" in mlflow["command"][-1]
    hosts = mlflow["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"localhost", "localhost:5000", "mlflow", "mlflow:5000"} <= set(hosts)


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_cluster_files_pass_ray(name: str) -> None:
    config = prepare_config(parsed(name))
    validate_config(config)
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert all(kind["max_workers"] for key, kind in types.items() if key != config["head_node_type"])


def test_ray_would_find_a_mistake_in_a_cluster_file() -> None:
    config = parsed("aws.yaml")
    config["max_workers"] = "many"
    with pytest.raises(Exception, match="many"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize(("name", "spot"), [("aws.yaml", "MarketType: spot"), ("gcp.yaml", "provisioningModel: SPOT")])
def test_workers_are_spot_machines_and_the_head_is_not(name: str, spot: str) -> None:
    head, workers = (INFRA / name).read_text().split("  gpu_spot:\n")
    assert spot in workers
    assert spot not in head
    assert "--dashboard-host=127.0.0.1" in workers


def test_pods_of_the_rayjob_pass_kubernetes() -> None:
    job = parsed("rayjob.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, "1.31", strict=True)
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        mistaken = copy.deepcopy(pod)
        mistaken["spec"]["containers"][0]["imagee"] = "x"
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(mistaken, "1.31", strict=True)


def test_the_rayjob_has_the_fields_of_kuberay() -> None:
    """The operator's schema is no package; these are its fields (RayJobSpec and RayClusterSpec of ray.io/v1)."""
    job = parsed("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) <= {
        "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
        "rayClusterSpec", "runtimeEnvYAML", "jobId", "metadata", "suspend", "activeDeadlineSeconds",
        "entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "submitterPodTemplate", "clusterSelector",
    }  # fmt: skip
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) <= {
        "rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
        "workerGroupSpecs", "gcsFaultToleranceOptions",
    }  # fmt: skip
    assert cluster["authOptions"] == {"mode": "token"}
    assert set(cluster["workerGroupSpecs"][0]) <= {
        "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "numOfHosts"
    }  # fmt: skip


def test_the_ray_of_the_files_is_the_ray_of_the_constraints() -> None:
    (pinned,) = re.findall(r"^ray==(.+)$", (INFRA / "constraints.txt").read_text(), re.MULTILINE)
    assert parsed("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned


def test_the_skypilot_task_passes_its_schema() -> None:
    schemas = pytest.importorskip("sky.utils.schemas", reason="SkyPilot is not installed: pip install skypilot")
    import jsonschema

    jsonschema.validate(parsed("skypilot.yaml"), schemas.get_task_schema())


def test_secrets_of_the_skypilot_task_come_from_whoever_launches_it() -> None:
    task = parsed("skypilot.yaml")
    assert set(task["secrets"].values()) == {None}
    assert task["resources"]["use_spot"] is True


@pytest.mark.parametrize("path", sorted(p for p in INFRA.iterdir() if p.is_file()), ids=lambda p: p.name)
def test_no_file_holds_a_password(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"://[^\s/@:]+:[^\s/@$]+@", text), "an address with a password in it"
    assert not re.search(
        r"(?i)(password|secret|token)\s*[:=]\s*[\"']?(admin|password|changeme|minioadmin|postgres)\b", text
    )


def test_every_file_is_explained() -> None:
    files = {path.name for path in INFRA.iterdir() if path.is_file() and path.name != "README.md"}
    assert {name for name in files if name not in README} <= {"Dockerfile.dockerignore"}


def test_what_ci_repeats_as_on_other_machines_is_there() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (named,) = re.findall(r"^numerical=\(([^)]*)\)", script, re.MULTILINE)
    assert named.split()
    assert [path for path in named.split() if not (ROOT / path).exists()] == []
