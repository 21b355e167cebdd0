{{/*
The proxy as a native sidecar, for the pod of another chart. That chart has this one as a dependency with `mode: sidecar`:

  initContainers:
    {{- include "llm-stream-proxy.sidecar" (index .Subcharts "llm-stream-proxy") | nindent 4 }}
  volumes:
    {{- include "llm-stream-proxy.volumes" (index .Subcharts "llm-stream-proxy") | nindent 4 }}

It is ready before the application starts and is stopped after it. It listens on 127.0.0.1, so that only the pod's own
containers can call; the admin port is open to the kubelet and to Prometheus. Kubernetes 1.29 or newer.
*/}}
{{- define "llm-stream-proxy.sidecar" -}}
- name: llm-stream-proxy
  restartPolicy: Always
  {{- include "llm-stream-proxy.containerBody" . | nindent 2 }}
{{- end }}
