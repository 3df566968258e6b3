// Package deploy tests the parts of deploy/ that are neither manifests nor a chart: the systemd unit and what
// the image is built from. It has no code of its own, only tests. Manifests and chart are compared in
// test/tools/render and given to an API server in test/e2e, which also runs the daemon in an image.
package deploy
