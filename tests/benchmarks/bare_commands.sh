#!/bin/sh
# The commands that site.yml runs on kind: the baseline for the testbed's own speed.
# Set CLUSTER, NODE_IMAGE, WORKERS, PYTHON_IMAGE, CONTEXT (the build context), SERVER and CLIENT (image names) and
# MANIFESTS (a file) to what site.yml used.
set -eu

{
  printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\ncontainerdConfigPatches:\n  - |-\n'
  printf '    [plugins."io.containerd.grpc.v1.cri".registry]\n      config_path = "/etc/containerd/certs.d"\n'
  printf 'nodes:\n  - role: control-plane\n    image: %s\n' "$NODE_IMAGE"
  for _ in $(seq "$WORKERS"); do printf '  - role: worker\n    image: %s\n' "$NODE_IMAGE"; done
} | kind create cluster --name "$CLUSTER" --config -

docker run --detach --restart unless-stopped --name kind-registry --network kind --publish 127.0.0.1:5001:5000 registry:2
for node in $(kind get nodes --name "$CLUSTER"); do
  echo '[host."http://kind-registry:5000"]' | docker exec --interactive "$node" \
    sh -c 'mkdir -p /etc/containerd/certs.d/localhost:5001; cat > /etc/containerd/certs.d/localhost:5001/hosts.toml'
done

docker build --quiet --network none --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --target server --tag "$SERVER" "$CONTEXT"
docker build --quiet --network none --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --target client --tag "$CLIENT" "$CONTEXT"
docker push "$SERVER"
docker push "$CLIENT"

kubectl="kubectl --context kind-$CLUSTER"
$kubectl wait --for=condition=Ready node --all --timeout=180s
$kubectl apply --filename "$MANIFESTS"
$kubectl rollout status statefulset/raft --timeout=180s
until [ "$($kubectl get pod client --output 'jsonpath={.status.phase}')" = Succeeded ]; do sleep 1; done
