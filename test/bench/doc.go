// Command bench measures Fairlead, its peers, and what the kernel itself needs, side by side:
//
//	bench [run] [-sizes 100,1000] [-subjects floor,fairlead] [-rows cold,change] [-quick] [-out FILE]
//	bench docs [-in FILE] [-page FILE] [-plot PROGRAM]
//
// Three words say what happens. A [Subject] is a program that serves Services on a node: Fairlead in its two ways to bind
// VIPs, kube-proxy in its three modes. The floor is one more, which is no proxy: it writes the same into the
// kernel, encoded beforehand, and nothing else. A row is something that is done with a subject and measured, such as a
// cold start. A [result.Sample] is one measured value.
//
// The command goes from the host into the VM and back:
//
//   - run, on the host, takes one size after the other. The cluster of that size is written into a real API server once
//     (bench seed, behind test/cluster) and kept in the cache folder as etcd's data; from then on the API server starts
//     with it within seconds. Beside it a VM is booted (test/vm), in which bench measure runs.
//   - measure, in the VM, gives each subject a fresh network (test/lab) and does the rows with it. Every sample is
//     written at once. What takes longer than its time limit is kept as "more than" that.
//   - run collects the samples into one file, [result.Result]. docs makes docs/benchmarks.md out of that and nothing
//     else.
//
// To read how something is measured, read the function named after the row: cold, idle, changes, burst, restart, wide,
// datapath.
package main
