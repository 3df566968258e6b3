// Command vm runs a command under a Linux kernel that has IPVS, in the style of go test -exec:
//
//	go run ./test/vm [flags] -- COMMAND [ARGS...]
//
// Many development machines and CI runners have a kernel without ip_vs or dummy. Where the host's
// own kernel has IPVS and the caller is root, COMMAND simply runs on the host. Elsewhere vm fetches
// a stock Debian kernel (unpacked into a cache folder, never installed), boots it under QEMU and
// runs COMMAND there. The guest sees:
//
//   - the host's / under an overlay in memory: every tool and file of the host is there, and every
//     write vanishes with the guest. /tmp and /run are empty; only COMMAND's own folder and the
//     working directory are let through when they lie under /tmp, as go test -exec's binaries do;
//   - a writable folder at /results, which is $FAIRLEAD_VM_RESULTS on the host and is named by
//     $FAIRLEAD_VM_RESULTS inside, too;
//   - the kernel's modules in /lib/modules, none loaded but those the boot needs;
//   - eth0 with 10.0.2.15/24; the host's loopback is reached at $FAIRLEAD_VM_HOST (10.0.2.2);
//   - the host's environment and working directory, and FAIRLEAD_VM=1.
//
// COMMAND's output arrives live and complete on stdout and stderr, and its exit status becomes
// vm's. Statuses of vm's own are 75 for a machine that stands still,
// 124 for the time limit, 125 for a failure before or beside COMMAND and 128 plus the number for a
// signal. Note that go run itself turns every failure into status 1
// (and prints the real one): build the binary where the number matters.
package main
