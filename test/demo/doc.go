// Command demo shows Fairlead's main job to somebody who has never seen it: a node, a few pods and a client are built out
// of network namespaces, the daemon is started, real HTTP requests go through the kernel, and everything is removed again.
//
//	demo -fairlead PATH [-keep]
//
// It needs root and a kernel with IPVS; test/vm provides both. Nothing outside the namespaces is changed, except that the
// kernel may load modules.
//
// In a second act kube-proxy's own rules are restored, and Fairlead takes their place while a client talks.
//
// Every line that begins with "ok" is a statement that was checked just then. There are no others: what is printed beside
// them are measured values and the sentences that explain them. The exit status is 0 when all checks passed and 1 otherwise.
//
// The manifests are those of manifests; a file of changes takes the place of manifests/endpoints.yaml in a later step. They
// are compiled in, so that the program runs where the source is not.
package main
