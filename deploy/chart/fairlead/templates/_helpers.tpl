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

{{/* The port of /healthz and /livez: the probes have to follow the configuration. */}}
{{- define "fairlead.healthPort" -}}
{{ get .Values.config "healthzBindAddress" | default "0.0.0.0:10256" | regexFind "[0-9]+$" }}
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
