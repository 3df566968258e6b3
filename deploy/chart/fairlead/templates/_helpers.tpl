{{/* The labels that select the Pods. They must never change. */}}
{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fairlead.labels" -}}
{{ include "fairlead.selector" . }}
app.kubernetes.io/part-of: fairlead
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "fairlead.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What the ConfigMap holds. The Pods carry its checksum, so that a change is rolled out. */}}
{{- define "fairlead.data" -}}
config.yaml: |
{{- toYaml .Values.config | nindent 2 }}
{{- if .Values.apiServer.host }}
apiServerHost: {{ .Values.apiServer.host | quote }}
apiServerPort: {{ .Values.apiServer.port | toString | quote }}
{{- end }}
{{- end }}

{{/* Where /healthz and /livez are, empty where they are off: the probes have to follow the configuration. */}}
{{- define "fairlead.health" -}}
{{- $at := "0.0.0.0:10256" }}
{{- if hasKey .Values.config "healthzBindAddress" }}{{ $at = get .Values.config "healthzBindAddress" }}{{ end }}
{{- if $at }}
{{- $host := $at | trimSuffix (regexFind ":[0-9]+$" $at) | trimAll "[]" }}
{{- if has $host (list "0.0.0.0" "::") }}{{ $host = "127.0.0.1" }}{{ end }}
{{- printf "host: %q, port: %s" $host (regexFind "[0-9]+$" $at) }}
{{- end }}
{{- end }}

{{/* No default could be right, and the wrong one would show only at a node's next boot. */}}
{{- define "fairlead.check" -}}
{{- if and .Values.apiServer.host .Values.kubeconfig.configMap }}
{{- fail "both apiServer.host and kubeconfig.configMap are set: choose one" }}
{{- end }}
{{- if not (or .Values.apiServer.host .Values.kubeconfig.configMap) }}
{{- fail "set apiServer.host to an address of the API server that every node reaches without a service proxy, or, in a kubeadm cluster, kubeconfig.configMap to kube-proxy" }}
{{- end }}
{{- end }}
