// Package healthcheck answers load balancers that ask a node whether it has endpoints of a Service:
// the HTTP servers on spec.healthCheckNodePort, for Services of type LoadBalancer with
// externalTrafficPolicy Local.
//
// The answers are those of kube-proxy (pkg/proxy/healthcheck/service_health.go), status, headers and
// body, for cloud controllers have been written against them. What differs is a port that somebody
// else has: here it is tried again until it is free, not only when some Service changes.
package healthcheck
