{{/* Names and labels. */}}
{{- define "llm-stream-proxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "llm-stream-proxy.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "llm-stream-proxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "llm-stream-proxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "llm-stream-proxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "llm-stream-proxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "llm-stream-proxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "llm-stream-proxy.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "llm-stream-proxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The name of the Secret that the pods read; empty: there is none. */}}
{{- define "llm-stream-proxy.secretName" -}}
{{- if .Values.secrets.existingSecret -}}
{{ .Values.secrets.existingSecret }}
{{- else if or .Values.secrets.values .Values.externalSecret.enabled -}}
{{ include "llm-stream-proxy.fullname" . }}
{{- end }}
{{- end }}

{{/* The proxy's configuration: `config` with what the chart knows better. */}}
{{- define "llm-stream-proxy.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $host := ternary "127.0.0.1" .Values.bindAddress (eq .Values.mode "sidecar") }}
{{- $_ := set $config "listen" (printf "%s:%d" $host (int .Values.containerPorts.http)) }}
{{- $_ := set $config "admin" (dict "listen" (printf "%s:%d" .Values.bindAddress (int .Values.containerPorts.admin))) }}
{{- $auth := $config.auth | default dict }}
{{- if eq .Values.mode "sidecar" }}
{{- /* The kubelet stops a sidecar after the application: nobody is left who could call. */}}
{{- $_ := set $config "drain" (merge (dict "lame_duck_s" 0) ($config.drain | default dict)) }}
{{- else if not (or $auth.keys $auth.anonymous) }}
{{- if or $config.providers (include "llm-stream-proxy.secretName" .) .Values.extraEnv }}
{{- fail "config.auth: who may call? Give config.auth.keys, or config.auth.anonymous: true where something else decides" }}
{{- end }}
{{- $_ := set $config "auth" (merge (dict "anonymous" true) $auth) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* The proxy's own defaults, where `config.drain` says nothing. */}}
{{- define "llm-stream-proxy.lameDuck" -}}
{{- dig "lame_duck_s" 5 (.Values.config.drain | default dict) }}
{{- end }}

{{- define "llm-stream-proxy.deadline" -}}
{{- dig "deadline_s" 60 (.Values.config.drain | default dict) }}
{{- end }}

{{/* Seconds that a pod needs to end without cutting a stream before its time. */}}
{{- define "llm-stream-proxy.neededGrace" -}}
{{- $lameDuck := include "llm-stream-proxy.lameDuck" . | float64 | ceil | int }}
{{- $deadline := include "llm-stream-proxy.deadline" . | float64 | ceil | int }}
{{- add (int .Values.preStopSeconds) $lameDuck $deadline 5 }}
{{- end }}

{{- define "llm-stream-proxy.grace" -}}
{{- $needed := include "llm-stream-proxy.neededGrace" . | int }}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- $needed }}
{{- else if lt (int .Values.terminationGracePeriodSeconds) $needed }}
{{- fail (printf "terminationGracePeriodSeconds: %d is too small: preStopSeconds + config.drain.lame_duck_s + config.drain.deadline_s + 5 = %d" (int .Values.terminationGracePeriodSeconds) $needed) }}
{{- else }}
{{- int .Values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{/* What `container` and `sidecar` share: image, arguments, environment, ports, probes, mounts. */}}
{{- define "llm-stream-proxy.containerBody" -}}
image: {{ include "llm-stream-proxy.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/llm-stream-proxy/config/proxy.yaml]
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $secret := include "llm-stream-proxy.secretName" . }}
{{- if and $secret (eq .Values.secrets.as "env") }}
envFrom:
  - secretRef:
      name: {{ $secret }}
{{- end }}
ports:
  - name: http
    containerPort: {{ .Values.containerPorts.http }}
    protocol: TCP
  - name: admin
    containerPort: {{ .Values.containerPorts.admin }}
    protocol: TCP
startupProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml .Values.probes.startup | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - name: llm-stream-proxy-config # the directory, never a subPath: that is not updated
    mountPath: /etc/llm-stream-proxy/config
    readOnly: true
  {{- if and $secret (eq .Values.secrets.as "files") }}
  - name: llm-stream-proxy-secrets
    mountPath: /etc/llm-stream-proxy/secrets
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Entries for `volumes`. */}}
{{- define "llm-stream-proxy.volumes" -}}
- name: llm-stream-proxy-config
  configMap:
    name: {{ include "llm-stream-proxy.fullname" . }}
{{- $secret := include "llm-stream-proxy.secretName" . }}
{{- if and $secret (eq .Values.secrets.as "files") }}
- name: llm-stream-proxy-secrets
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a controller must be told of streams; the annotations of the values are stronger. */}}
{{- define "llm-stream-proxy.ingressAnnotations" -}}
{{- $streaming := dict }}
{{- if .Values.ingress.streaming }}
{{- $bytes := dig "limits" "max_body_bytes" 33554432 .Values.config | int64 }}
{{- if contains "nginx" .Values.ingress.className }}
{{- range $name, $value := dict "proxy-buffering" "off" "proxy-request-buffering" "off" "proxy-http-version" "1.1" "proxy-read-timeout" "86400" "proxy-send-timeout" "86400" "proxy-next-upstream" "off" "proxy-body-size" (toString $bytes) }}
{{- $_ := set $streaming (printf "nginx.ingress.kubernetes.io/%s" $name) $value }}
{{- end }}
{{- else if contains "haproxy" .Values.ingress.className }}
{{- range $name, $value := dict "timeout-server" "24h" "backend-config-snippet" "option abortonclose\noption http-no-delay\nretries 0" }}
{{- $_ := set $streaming (printf "haproxy.org/%s" $name) $value }}
{{- end }}
{{- end }}
{{- end }}
{{- merge (deepCopy .Values.ingress.annotations) $streaming | toYaml }}
{{- end }}
