"""Manifests that the benchmarks make policies of."""

MESH = """apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'
"""
ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: site-{0}
  namespace: default
spec:
  hosts:
  - site-{0}.example.com
  ports:
  - number: 80
    name: http
    protocol: HTTP
  - number: 443
    name: https
    protocol: HTTPS
  location: MESH_EXTERNAL
  resolution: DNS
"""
