// Command cluster runs a command beside a real Kubernetes API server:
//
//	go run ./test/cluster [flags] -- COMMAND [ARGS...]
//
// It builds etcd and kube-apiserver from the tool modules under test/tools into the cache folder,
// once per version, starts both on free ports of the loopback with everything they need made on the
// spot, waits until the API server is ready, and runs COMMAND with
//
//   - FAIRLEAD_TEST_KUBECONFIG: a kubeconfig of an administrator, with a token. Its server is
//     https://127.0.0.1:PORT; under test/vm the same port is found at 10.0.2.2, for which the
//     serving certificate is good, too;
//   - FAIRLEAD_TEST_ETCD: the URL of etcd, on this machine.
//   - FAIRLEAD_TEST_KUBE_PROXY: the path of kube-proxy, with -peers.
//
// Authorization is RBAC, so that tests can find out whether Fairlead's own role suffices. There are
// no controllers, no scheduler and no nodes: tests write what those would have written. Services
// get addresses from 172.30.0.0/16 and fd00:172:30::/108.
//
// A cluster with many objects is made once and used often: -save keeps etcd's data when COMMAND has
// succeeded, and -data begins with a copy of it, which is ready within seconds.
//
// Everything is stopped and removed at the end, and COMMAND's exit status becomes cluster's. Its own
// statuses are 125 for a failure beside COMMAND and 128 plus the number for a signal. The cache
// folder ($FAIRLEAD_CACHE, or fairlead in the user's) must not be under /tmp where test/vm is to see
// the kubeconfig: the guest's /tmp is its own.
package main
