// Package ipvs keeps the kernel's virtual server table equal to a desired one.
//
// [Table] holds both side by side. Its verbs are those of every kernel package here: set the
// desired state (memory only), Resync (read the kernel), Upsert and Prune (write the kernel). Two
// things are its own: a removed TCP real server is drained before it is deleted (drain.go), and a
// virtual server that Fairlead did not create is never touched (the owned function of Resync).
//
// The kernel is one file, kernel_linux.go, behind the [Kernel] interface; [Fake] is the other
// implementation, and contract_test.go holds the two to the same behavior.
//
// Words are ipvsadm's: virtual server, real server, scheduler, persistence, weight.
package ipvs
