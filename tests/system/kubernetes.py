"""Facts about examples/kubernetes/site.yaml that its schema does not know.

    kubernetes.py FILE RGUNICORN DIRECTORY

checks that names and times agree, among each other and with the settings that rgunicorn takes from the arguments of the
container, and prints these arguments, one per line.
"""

import subprocess
import sys

import yaml


def settings(program, directory, arguments):
    """What rgunicorn makes of the arguments."""
    command = [program, "--chdir", directory, "--print-config", *arguments]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def longest(probe):
    """Seconds until a probe that gets no answer has failed."""
    return probe["failureThreshold"] * probe["periodSeconds"]


def main(path, program, directory):
    with open(path) as file:
        found = {document["kind"]: document for document in yaml.safe_load_all(file)}
    deployment = found["Deployment"]["spec"]
    pod = deployment["template"]
    labels = pod["metadata"]["labels"]
    for selector in (
        deployment["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items(), f"{selector} selects no pod with {labels}"
    target = found["HorizontalPodAutoscaler"]["spec"]
    assert target["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert target["minReplicas"] == deployment["replicas"] > found["PodDisruptionBudget"]["spec"]["minAvailable"]

    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    probes = [container[name + "Probe"] for name in ("startup", "readiness", "liveness")]
    assert all(probe["httpGet"]["port"] == port["name"] for probe in probes)
    assert "cpu" in container["resources"]["limits"], "without a limit --workers auto counts the node's CPUs"
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["spec"]["volumes"]
    }

    known = settings(program, directory, container["args"])
    ending = float(known["shutdown_delay"]) + float(known["graceful_timeout"])
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > ending, f"a pod is killed after {grace} s, but may take {ending} s to end"
    readiness, liveness = probes[1:]
    assert longest(liveness) > float(known["timeout"]) + longest(readiness), "a stuck worker restarts the pod"
    print("\n".join(container["args"]))


main(*sys.argv[1:])
