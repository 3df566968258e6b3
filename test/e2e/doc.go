// Package e2e tests the daemon as a whole: the real binary, a real kernel, a real API server and real
// packets between network namespaces. It has no code of its own, only tests.
//
// The tests need root, IPVS, and three variables in the environment, which `make test` sets:
//
//   - FAIRLEAD_TEST_KERNEL=1: there must be a kernel with IPVS; nothing is skipped;
//   - FAIRLEAD_TEST_BIN: the daemon;
//   - FAIRLEAD_TEST_KUBECONFIG: the API server that test/cluster started.
//
// Without the first one they skip.
package e2e
