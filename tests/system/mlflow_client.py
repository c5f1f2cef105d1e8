"""What users do with a server of mlflow, by its own client. MLFLOW_TRACKING_URI says where it is."""

import os
import tempfile

from mlflow import MlflowClient

client = MlflowClient()
experiment = client.create_experiment("experiment")
run = client.create_run(experiment).info
client.log_param(run.run_id, "depth", 7)
for step in range(20):
    client.log_metric(run.run_id, "loss", 1 / (1 + step), step=step)
client.set_tag(run.run_id, "kind", "test")

# Through the server: it is a proxy of the artifacts' store.
assert run.artifact_uri.startswith("mlflow-artifacts:/"), run.artifact_uri
content = bytes(range(256)) * 20_000
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "model.bin")
    with open(path, "wb") as file:
        file.write(content)
    client.log_artifact(run.run_id, path, "models")
    found = [(item.path, item.file_size) for item in client.list_artifacts(run.run_id, "models")]
    assert found == [("models/model.bin", len(content))], found
    os.remove(path)
    path = client.download_artifacts(run.run_id, "models/model.bin", directory)
    with open(path, "rb") as file:
        assert file.read() == content

client.set_terminated(run.run_id)
found = client.search_runs([experiment], "metrics.loss < 0.06 and params.depth = '7'")
assert [(one.info.run_id, one.info.status) for one in found] == [(run.run_id, "FINISHED")], found
assert client.search_runs([experiment], "metrics.loss > 0.06") == []
history = [metric.value for metric in client.get_metric_history(run.run_id, "loss")]
assert history == [1 / (1 + step) for step in range(20)], history
assert [one.name for one in client.search_experiments()] == ["experiment", "Default"]
client.delete_run(run.run_id)
assert client.search_runs([experiment]) == []
